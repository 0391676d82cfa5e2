"""One night at a time: a lock file that says who holds it, and that goes with its process."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from diffbehav.errors import InfrastructureError
from diffbehav.store import disk_error


@contextmanager
def held(path: Path, *, now: datetime) -> Iterator[None]:
    """Hold the lock at `path`; InfrastructureError names the process that has it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise disk_error(error, path) from error
    with stream:
        _take(stream, path)
        stream.truncate(0)
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": now.isoformat(timespec="seconds")}
        stream.write(json.dumps(who))
        stream.flush()
        try:
            yield
        finally:
            # The file stays: one that is deleted while another process opens it would be locked twice.
            stream.truncate(0)


def _take(stream: IO[str], path: Path) -> None:
    try:
        # A lock of the process: engines that are forked from it do not keep it when the process is killed.
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InfrastructureError(f"{path} is held by {_holder(stream)}") from error


def _holder(stream: IO[str]) -> str:
    stream.seek(0)
    try:
        who = json.loads(stream.read())
        process = f"process {int(who['pid'])} on {str(who['host'])[:80]!r} since {str(who['since'])[:40]}"
    except (ValueError, KeyError, TypeError):
        return "another process that has not said who it is yet; repeat the command in a moment"
    return (
        f"{process}: another night is at work in this folder. Wait for it, or end that process; the lock goes with it. "
        "Where that process is gone and the folder is shared by machines, delete the file"
    )
