import shutil
from pathlib import Path

import pytest

from diffbehav.store import BaselineFolder, RunFolder, pin
from tests.store.pinnable import SIGNED, finished_run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run; read only."""
    return finished_run(tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run whose trusted model is another one; read only."""
    return finished_run(tmp_path_factory.mktemp("runs") / "second", drift=0.3)


@pytest.fixture
def run(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the finished run that a test may change."""
    return RunFolder(Path(shutil.copytree(finished.path, tmp_path / "run")))


@pytest.fixture
def pinned(finished: RunFolder, tmp_path: Path) -> BaselineFolder:
    """A baseline of the finished run."""
    folder = BaselineFolder(tmp_path / "baselines" / "base")
    pin(finished, folder, signed=SIGNED, expires=None)
    return folder
