"""A lock goes with the process that holds it, and that process alone may take it twice."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from diffbehav.errors import InfrastructureError
from diffbehav.store import RunFolder
from diffbehav.store.lock import alone_in, held

NOW = datetime(2026, 11, 1, 22, tzinfo=UTC)
TAKING = """
import sys
from pathlib import Path
from diffbehav import cli
from diffbehav.store import RunFolder
from diffbehav.store.lock import alone_in

def take(**_):
    with alone_in(RunFolder(Path(sys.argv[1]))):
        exec(sys.argv[2])

cli.cli = take
cli.main()
"""


def taken(run: Path, then: str = "") -> subprocess.CompletedProcess[str]:
    """Another process that works in the run folder."""
    return subprocess.run([sys.executable, "-c", TAKING, str(run), then], capture_output=True, text=True, timeout=300)


def test_a_lock_whose_process_was_killed_holds_nobody_up(tmp_path: Path) -> None:
    lock = RunFolder(tmp_path).lock
    killed = taken(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert killed.returncode == -signal.SIGKILL
    assert "pid" in lock.read_text(encoding="utf-8")
    with held(lock, at_work="", now=NOW):
        assert str(os.getpid()) in lock.read_text(encoding="utf-8")
    assert lock.read_text(encoding="utf-8") == ""


def test_the_process_that_holds_a_run_takes_it_again_and_keeps_it_to_the_end_of_the_first_time(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with alone_in(run):
        with alone_in(run):
            pass
        second = taken(run.path)
        assert second.returncode == 20
        assert f"run.lock is held by process {os.getpid()} on " in second.stderr
        assert "another command is at work in this run folder" in second.stderr
    assert taken(run.path).returncode == 0


def test_a_lock_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InfrastructureError, match=r"file/run\.lock could not be written"), alone_in(
        RunFolder(tmp_path / "file")
    ):
        pass
