"""Work on attacker-controlled files in a child process with limits on time, memory and output.

The limits are those of the operating system on one process. They keep a hostile file from stopping or filling the
machine; they are no sandbox against code that breaks out of the interpreter.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

SECONDS = 10
"""CPU time of a child."""
WAIT = 300
"""Wall time of a child, on a machine however busy."""
MEMORY = 1 << 30
"""Bytes of address space of a child."""
OUTPUT = 128 << 20
"""Bytes that a child may write."""
_ROOT = Path(__file__).parent.parent.parent


class Confined(NamedTuple):
    """What a child said before it ended."""

    lines: list[Any]
    stopped: str | None
    """Why it ended early; None where it came to its end."""


class OutOfTimeError(Exception):
    """A step took longer than it may."""


def confined(module: str, request: Any) -> Confined:
    """Runs `module` of this package, which ends in `answer`, on a JSON value; returns the JSON values it wrote."""
    paths = filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")])
    environment = {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    # -P: a module that lies in the folder the user stands in must not be imported in place of Python's own.
    command = [sys.executable, "-P", "-m", module]
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                command, input=json.dumps(request).encode(), stdout=output, stderr=subprocess.DEVNULL, env=environment,
                timeout=WAIT, check=False,
            )  # fmt: skip
            stopped = None if done.returncode == 0 else _why(done.returncode)
        except subprocess.TimeoutExpired:
            stopped = f"it was stopped after {WAIT} s"
        output.seek(0)
        whole = [line for line in output.read().split(b"\n")[:-1] if line]
    return Confined([json.loads(line) for line in whole], stopped)


def answer(work: Callable[[Any], Iterator[Any]]) -> None:
    """The main function of a child: reads a JSON value, writes each JSON value of `work` as a line."""
    for limit, most in (
        (resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, OUTPUT), (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, SECONDS),
    ):  # fmt: skip
        resource.setrlimit(limit, (most, most))
    for value in work(json.load(sys.stdin)):
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """OutOfTimeError where the body takes more CPU time. A single step of the interpreter is not interrupted."""
    previous = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise OutOfTimeError


def _why(code: int) -> str:
    if code < 0:
        return f"it was ended by signal {-code} within {SECONDS} s of CPU time"
    return f"it failed (exit {code}): it needs more than {MEMORY >> 20:,} MiB, or cannot be read"
