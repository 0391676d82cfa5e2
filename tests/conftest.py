"""What tests of several rooms share: runs of the shipped models, which take minutes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a file stay in one process, and so do all files that share the runs of the demonstration."""
    shared = {item.path for item in items if "demo" in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("demo" if item.path in shared else item.nodeid.partition("::")[0]))


def diffbehav(*words: object) -> str:
    """What the command prints; it must end with 0."""
    command = [sys.executable, "-m", "diffbehav", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of `diffbehav demo`, on real engines; a test that changes one of them copies it first."""
    out = tmp_path_factory.mktemp("demo")
    diffbehav("demo", "--out", out)
    return out


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A Ray cluster of this machine. It ends with the module: engines of later tests are forked from this process."""
    from diffbehav.serve.ray_cluster import LOCAL, join, leave

    assert join(LOCAL, workers=2)
    yield
    leave()
