"""What tests of several rooms share: runs of the shipped models, which take minutes."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


def diffbehav(*words: object) -> str:
    """What the command prints; it must end with 0."""
    command = [sys.executable, "-m", "diffbehav", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of `diffbehav demo`, on real engines; a test that changes one of them copies it first."""
    own = tmp_path_factory.getbasetemp()
    # Where tests run in several processes each has a folder of its own, and one beside it is for all.
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    out, done = shared / "demo", shared / "demo.done"
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            diffbehav("demo", "--out", out)
            done.touch()
    return out


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A Ray cluster of this machine. It ends with the module: engines of later tests are forked from this process."""
    from diffbehav.serve.ray_cluster import LOCAL, join, leave

    assert join(LOCAL, workers=2)
    yield
    leave()
