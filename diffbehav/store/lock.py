"""One process at a time: a lock file that says who holds it, and that goes with its process."""

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from diffbehav.errors import InfrastructureError
from diffbehav.store.parts import disk_error
from diffbehav.store.run_folder import RunFolder

_mine: set[Path] = set()
"""What this process holds: the system gives it the same lock twice, and takes it away with the first file it closes."""


@contextmanager
def alone_in(run: RunFolder) -> Iterator[None]:
    """Fill or change a run folder while no other process does; InfrastructureError names the one that is at it.

    Processes that work for this one, as the workers of a Ray cluster do, take no lock.
    """
    with held(run.lock, at_work="another command is at work in this run folder", now=datetime.now(UTC)):
        yield


@contextmanager
def held(path: Path, *, at_work: str, now: datetime) -> Iterator[None]:
    """Hold the lock at `path`; InfrastructureError names the process that has it, and says that it is `at_work`.

    Taken again by the process that holds it, it is kept to the end of the first time.
    """
    path = path.resolve()
    if path in _mine:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = FileIO(path, "a+")
    except OSError as error:
        raise disk_error(error, path) from error
    with stream:
        _take(stream, path, at_work)
        _mine.add(path)
        try:
            _say(stream, path, now)
            yield
        finally:
            _mine.remove(path)
            # The file stays: one that is deleted while another process opens it would be locked twice.
            stream.truncate(0)


def _take(stream: FileIO, path: Path, at_work: str) -> None:
    try:
        # A lock of the process: engines that are forked from it do not keep it when the process is killed.
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise InfrastructureError(
                f"{path} cannot be locked ({error.strerror}), so two commands could be at work there and spoil each "
                "other's files; use a folder on a file system that has locks"
            ) from error
        raise InfrastructureError(f"{path} is held by {_holder(stream, at_work)}") from error


def _say(stream: FileIO, path: Path, now: datetime) -> None:
    who = {"pid": os.getpid(), "host": socket.gethostname(), "since": now.isoformat(timespec="seconds")}
    try:
        stream.truncate(0)
        stream.write(json.dumps(who).encode())
    except OSError as error:
        raise disk_error(error, path) from error


def _holder(stream: FileIO, at_work: str) -> str:
    stream.seek(0)
    try:
        who = json.loads(stream.read())
        process = f"process {int(who['pid'])} on {str(who['host'])[:80]!r} since {str(who['since'])[:40]}"
    except (ValueError, KeyError, TypeError):
        return "another process that has not said who it is yet; repeat the command in a moment"
    return (
        f"{process}: {at_work}. Wait for it, or end that process; the lock goes with it. "
        "Where that process is gone and the folder is shared by machines, delete the file"
    )
