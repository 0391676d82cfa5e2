"""SIGTERM ends a job at whatever stage it is, with engines closed and everything stored kept."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffbehav.errors import Interrupted

MESSAGE = "stopped on request; repeat the same command to go on from there"


class _Terminated(KeyboardInterrupt):
    """No `except Exception` on the way takes it for an error of its own."""


class Stop:
    """Whether SIGTERM came."""

    def __init__(self) -> None:
        self.asked = False

    def check(self) -> None:
        """Interrupted where it came when nothing was there to be ended."""
        if self.asked:
            raise Interrupted(MESSAGE)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Inside, SIGTERM ends what is done there with Interrupted; a second one changes nothing."""
    stop = Stop()

    def on_signal(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stop.asked = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise _Terminated from None
        # An exception out of a running loop would leave it before its tasks have closed their engines.
        loop.call_soon_threadsafe(_cancel_all, loop)

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield stop
    except (asyncio.CancelledError, _Terminated) as error:
        if not stop.asked:
            raise
        raise Interrupted(MESSAGE) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
