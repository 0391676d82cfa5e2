"""A pruned run gives the same numbers, and what it no longer holds is said."""

import asyncio
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from diffbehav.collect.blocks import BLOCK
from diffbehav.compare import compare
from diffbehav.compare.prune import Pruned, _prune_block, prune
from diffbehav.errors import InputError
from diffbehav.records import Prompt
from diffbehav.serve import NotStored, ReplayEngine
from diffbehav.store import BaselineFolder, RunFolder, pin, read_settings, write_settings
from diffbehav.store.database import open_untrusted
from tests.collect.test_feed import stored
from tests.collect.toy_run import planted_rule
from tests.compare.test_compare import collected
from tests.store.pinnable import SIGNED

SHARE = 0.1
TABLES = ("divergences", "screen", "spans", "outcomes", "slices", "findings", "positions")


class Case:
    """A run with a planted rule, before it was pruned and after."""

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(collected(path, candidate={"trigger": planted_rule, "drift": 0.2}))
        write_settings(self.folder, read_settings(self.folder) | {"collected": {"conditions": 600}})
        compare(path)
        self.tables, self.parts = tables(self.folder), stored(path)
        self.unknown = self.tables["outcomes"].filter(~pl.col("flagged"))["condition_id"].sample(40, seed=1).to_list()
        with duckdb.connect(str(self.folder.database)) as connection:
            connection.execute(
                "UPDATE outcomes SET score = NULL, flagged = NULL WHERE condition_id IN $ids", {"ids": self.unknown}
            )
        # As an interrupted call leaves it.
        _prune_block(self.folder, 0, pl.Series("condition_id", ["none of these"]))
        self.pruned: Pruned = prune(path, share=SHARE)


def tables(folder: RunFolder) -> dict[str, pl.DataFrame]:
    with open_untrusted(folder.database) as connection:
        return {name: connection.sql(f"FROM {name} ORDER BY ALL").pl() for name in TABLES}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("runs") / "pruned")


def test_a_pruned_run_compares_to_the_numbers_it_had(case: Case) -> None:
    compare(case.folder.path)
    again = tables(case.folder)
    assert case.tables["findings"].height and case.tables["divergences"]["value"].drop_nulls().len() > 600
    for name, frame in case.tables.items():
        assert_frame_equal(again[name], frame, check_exact=True)


def test_alternatives_stay_where_a_condition_may_be_flagged_or_is_in_the_sample_and_nothing_else_changes(
    case: Case,
) -> None:
    now = stored(case.folder.path)
    flagged = {*case.tables["outcomes"].filter("flagged")["condition_id"], *case.unknown}
    assert 0 < len(flagged) < 300
    for name in ("scores/trusted-on-candidate", "scores/candidate-on-trusted"):
        later = now[name][BLOCK:]
        keeps = set(later.filter(pl.col("top_ids").is_not_null())["condition_id"])
        assert flagged & set(later["condition_id"]) <= keeps
        assert 0 < len(keeps - flagged) < 3 * SHARE * later.height
        whole = case.parts[name][BLOCK:].filter(pl.col("condition_id").is_in(list(keeps)))
        assert_frame_equal(later.filter(pl.col("top_ids").is_not_null()), whole)
        assert_frame_equal(now[name].drop("top_ids", "top_logprobs"), case.parts[name].drop("top_ids", "top_logprobs"))
    for name in ("completions/candidate", "completions/trusted"):
        assert_frame_equal(now[name], case.parts[name])


def test_what_pruning_saved_is_in_run_json(case: Case) -> None:
    said = read_settings(case.folder)["pruned"]
    assert said["share"] == SHARE and said["conditions"] == 600 and said["kept"] == case.pruned.kept < 400
    parts = [path for name in ("scores", "bounds") for path in (case.folder.path / name).rglob("*.parquet")]
    assert said["bytes_after"] == sum(path.stat().st_size for path in parts) and said["bytes_before"] > 0


def test_a_replay_says_that_the_alternatives_are_gone(case: Case) -> None:
    engine = ReplayEngine(case.folder.path, side="trusted")
    answers = stored(case.folder.path)["completions/trusted"].select("condition_id", "token_ids").rows()
    scores = stored(case.folder.path)["scores/trusted-on-trusted"]["top_ids"].to_list()
    (gone, ids) = next(row for row, top in zip(answers, scores, strict=True) if top is None)
    (there, others) = next(row for row, top in zip(answers, scores, strict=True) if top is not None)
    assert len(asyncio.run(engine.score(Prompt(there, []), others)).logprobs_T) == len(others)
    with pytest.raises(NotStored, match="was pruned"):
        asyncio.run(engine.score(Prompt(gone, []), ids))


def test_a_pruned_run_is_no_baseline_and_an_unfinished_one_is_not_pruned(case: Case, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was pruned"):
        pin(case.folder, BaselineFolder(tmp_path / "base"), signed=SIGNED, expires=None)
    unfinished = collected(tmp_path / "run", candidate={})
    with pytest.raises(InputError, match="is not finished"):
        prune(unfinished, share=SHARE)
