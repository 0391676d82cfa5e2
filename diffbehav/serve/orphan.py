"""Engine processes end when the process that asks them is gone; left alone they would spin and keep their memory."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_DRIVER = "DIFFBEHAV_DRIVER"
_LOOKED_AT_EVERY = 1.0
"""Seconds."""


@contextmanager
def watched() -> Iterator[None]:
    """Every engine process that starts meanwhile, forked or spawned, ends soon after this process has ended."""
    _watch_forks()
    os.environ[_DRIVER] = str(os.getpid())
    try:
        yield
    finally:
        del os.environ[_DRIVER]


def end_with_driver() -> None:
    """What a new engine process calls, spawned ones as a plugin of vLLM; does nothing in any other process."""
    driver = os.environ.get(_DRIVER)
    if driver == str(os.getppid()):
        threading.Thread(target=_wait_for, args=(int(driver),), daemon=True).start()


@cache
def _watch_forks() -> None:
    os.register_at_fork(after_in_child=end_with_driver)


def _wait_for(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(_LOOKED_AT_EVERY)
    os.kill(os.getpid(), signal.SIGKILL)
