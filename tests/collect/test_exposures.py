"""A run's place in the ledger: fresh conditions every time, appended once."""

import asyncio
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from diffbehav.collect.exposures import add_to_ledger, asked_before, look_back, new_entry
from diffbehav.collect.prompts import plan
from diffbehav.errors import InfrastructureError
from diffbehav.store import LedgerKey, RunFolder, append, part_path, read_ledger, read_settings, write_settings
from diffbehav.suite import load_suite
from tests.collect.toy_run import SUITE, collect
from tests.planted import ToyRenderer

SIDES = {"candidate": {"digest": "c", "adapter_digest": "a"}, "trusted": {"digest": "t"}}
KEY = LedgerKey("c+a", "t", load_suite(SUITE).digest)


def started(folder: Path, ledger: Path) -> tuple[RunFolder, dict[str, Any]]:
    """A run folder as `diffbehav run --ledger` begins or continues it, with its conditions drawn."""
    run, suite = RunFolder(folder), load_suite(SUITE)
    if run.settings.exists():
        settings = read_settings(run)
    else:
        settings = {"sides": SIDES, "suite_digest": suite.digest, "ledger": str(ledger), "ledger_entry": new_entry("x")}
    settings |= look_back(run, settings)
    write_settings(run, settings)
    plan(suite, ToyRenderer(), run.conditions, limit=100, context=1000, asked=asked_before(run, settings))
    return run, settings


def finished(folder: Path, ledger: Path) -> set[int]:
    """Collect the run to its end; the cells that it asked."""
    run, settings = started(folder, ledger)
    asyncio.run(collect(run, load_suite(SUITE), candidate={}, trusted={}))
    add_to_ledger(run, settings)
    return set(pl.read_parquet(run.conditions)["grid_index"].to_list())


def test_each_run_asks_what_no_earlier_one_asked_even_in_a_folder_of_the_same_name(tmp_path: Path) -> None:
    runs = [finished(tmp_path / night / "nightly", tmp_path / "ledger") for night in ("one", "two", "three")]
    assert [len(run) for run in runs] == [100, 100, 100]
    assert len(set.union(*runs)) == 300
    found = read_ledger(tmp_path / "ledger", KEY)
    assert len(found.entries) == 3
    assert set(found.grid_indices.tolist()) == set.union(*runs)


def test_a_run_that_is_continued_after_its_end_is_in_the_ledger_once_and_asks_the_same(tmp_path: Path) -> None:
    first = finished(tmp_path / "run", tmp_path / "ledger")
    assert finished(tmp_path / "run", tmp_path / "ledger") == first
    found = read_ledger(tmp_path / "ledger", KEY)
    assert len(found.entries) == 1 and len(found.grid_indices) == 100


def test_a_run_that_was_killed_before_its_end_is_not_in_the_ledger_and_keeps_its_draw(tmp_path: Path) -> None:
    run, _ = started(tmp_path / "killed", tmp_path / "ledger")
    drawn = set(pl.read_parquet(run.conditions)["grid_index"].to_list())
    assert read_ledger(tmp_path / "ledger", KEY).entries == ()
    finished(tmp_path / "other", tmp_path / "ledger")
    assert finished(tmp_path / "killed", tmp_path / "ledger") == drawn
    assert asked_before(run, read_settings(run)).draws == 0, "what came later was not asked before"


def test_a_condition_that_a_side_did_not_answer_is_no_exposure(tmp_path: Path) -> None:
    run, settings = started(tmp_path / "run", tmp_path / "ledger")
    asyncio.run(collect(run, load_suite(SUITE), candidate={}, trusted={}))
    part = part_path(run.completions("trusted"), 0)
    pl.read_parquet(part).head(40).write_parquet(part)
    add_to_ledger(run, settings)
    assert len(read_ledger(tmp_path / "ledger", KEY).grid_indices) == 40


def test_a_run_without_a_ledger_leaves_none(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"ledger": None}
    assert look_back(RunFolder(tmp_path), settings) == {}
    assert asked_before(RunFolder(tmp_path), settings).draws == 0
    add_to_ledger(RunFolder(tmp_path), settings)
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_cannot_be_written_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InfrastructureError, match="file"):
        started(tmp_path / "run", tmp_path / "file" / "ledger")


@pytest.mark.parametrize("name", ["../x", "", "nightly run", ".hidden", "n\u00e4chtlich", "a" * 300])
def test_any_folder_name_gives_an_entry_of_its_own_that_can_name_a_file(tmp_path: Path, name: str) -> None:
    one, other = new_entry(name), new_entry(name)
    assert one != other
    append(tmp_path, KEY, entry=one, grid_indices=[1])
