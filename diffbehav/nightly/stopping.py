"""SIGTERM ends a night at whatever stage it is, with engines closed and everything stored kept."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffbehav.errors import Interrupted


class _Terminated(KeyboardInterrupt):
    """Passes through event loops as an interrupt does: they cancel their tasks, which close the engines."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, SIGTERM ends what is done there with Interrupted; a second one changes nothing."""

    def stop(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except _Terminated as error:
        raise Interrupted("stopped on request; repeat the same command to go on from there") from error
    finally:
        signal.signal(signal.SIGTERM, before)
