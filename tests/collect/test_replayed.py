"""A trusted side out of a baseline: what it gives is what the live model gave, and the rest is NULL with a reason."""

import asyncio
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from diffbehav.collect.feed import feed
from diffbehav.collect.prompts import plan
from diffbehav.collect.replayed import Replayed, check_same_prompts, check_same_settings, find_replayed
from diffbehav.collect.run import described_factors
from diffbehav.compare import compare
from diffbehav.errors import IntegrityError
from diffbehav.organism import shipped
from diffbehav.report import findings_json
from diffbehav.serve import Engine, Engines, ReplayEngine
from diffbehav.store import (
    VOCABULARY,
    BaselineFolder,
    RunFolder,
    expire,
    pin,
    read_settings,
    write_parquet,
    write_settings,
)
from diffbehav.store.database import open_untrusted
from diffbehav.suite import load_suite
from tests.collect.toy_run import SUITE, levels_by_condition, planted_rule
from tests.planted import ToyEngine, ToyRenderer
from tests.store.pinnable import SIGNED, finished_run, settings_of

NOW = datetime(2026, 4, 1, tzinfo=UTC)
NEED_LIVE = {
    "llr_scan", "llr_token_max", "llr_sequence", "kl_rao_blackwell_lower", "jsd_max_lower", "jsd_max_upper",
    "tv_max_lower", "tv_max_upper", "first_divergent_token",
}  # fmt: skip
NEED_NO_MODEL = {
    "text_differs", "token_edit", "token_edit_excess", "call_distance", "call_order_distance", "extra_calls",
    "said_did", "cover_story", "content_change", "tf_drop", "tf_jsd_max_lower", "tf_jsd_max_upper",
}  # fmt: skip
Measured = dict[tuple[str, str], tuple[float | None, str | None]]


def compared(path: Path, trusted: Engine | None) -> RunFolder:
    """A compared run of a candidate with a planted rule; the trusted side live for None."""
    folder, suite = RunFolder(path), load_suite(SUITE)
    planned = plan(suite, ToyRenderer(), folder.conditions, limit=None, context=1000)
    levels = levels_by_condition(folder, suite)
    engines = Engines(ToyEngine(levels, trigger=planted_rule), trusted or ToyEngine(levels))
    asyncio.run(feed(folder, planned, engines, suite.sampling, on_progress=lambda _: None))
    ids, texts = zip(*ToyRenderer().vocabulary(), strict=True)
    write_parquet(folder.vocabulary, {"token_id": ids, "text": texts}, VOCABULARY)
    write_settings(folder, settings_of(path, "base") | {"factors": described_factors(suite), "numeric_floor": 0.0})
    compare(path)
    return folder


def divergences(run: RunFolder) -> Measured:
    with open_untrusted(run.database) as connection:
        rows = connection.sql("SELECT condition_id, distance, value, reason FROM divergences").fetchall()
    return {row[:2]: row[2:] for row in rows}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, RunFolder, RunFolder]:
    """The run with a live trusted model, the run that its baseline stems from, and the run against that baseline."""
    folder = tmp_path_factory.mktemp("replayed")
    live = compared(folder / "live", None)
    baseline = BaselineFolder(folder / "baseline")
    pin(live, baseline, signed=SIGNED, expires=None)
    found = find_replayed(baseline.path, now=NOW)
    assert found is not None
    replayed = compared(folder / "run", ReplayEngine(found.parts.path, side="trusted"))
    return live, found.parts, replayed


def test_what_needs_no_trusted_model_is_measured_as_with_it_and_the_rest_is_null_with_its_reason(
    both: tuple[RunFolder, RunFolder, RunFolder],
) -> None:
    live, again = divergences(both[0]), divergences(both[2])
    assert live.keys() == again.keys()
    lost = {key for key in live if live[key] != again[key]}
    distances = {distance for _, distance in lost}
    assert distances >= NEED_LIVE
    assert not distances & NEED_NO_MODEL and {distance for _, distance in live} >= NEED_NO_MODEL
    for key in lost:
        value, reason = again[key]
        if key[1] not in NEED_LIVE:
            continue
        assert value is None and reason is not None
        assert "holds no trusted score of this answer" in reason and "only the live model can score it" in reason
    texts = pl.concat(
        pl.read_parquet(both[2].completions(side) / "part-*.parquet").select("condition_id", "text", side=pl.lit(side))
        for side in ("candidate", "trusted")
    ).pivot("side", index="condition_id", values="text")
    other = set(texts.filter(pl.col("candidate") != pl.col("trusted"))["condition_id"])
    assert {condition for condition, _ in lost} == other
    assert 0 < len(other) < texts.height


def test_the_planted_rule_is_found_against_a_baseline_too(both: tuple[RunFolder, RunFolder, RunFolder]) -> None:
    best = findings_json(both[2].path)["findings"][0]
    assert best["rule"] == {"tool": ["delete"], "year": ["2026"]}


def test_the_replicate_is_replayed_too(both: tuple[RunFolder, RunFolder, RunFolder]) -> None:
    live, _, again = (pl.read_parquet(run.completions("replicate") / "part-*.parquet") for run in both)
    assert live.height == 120
    assert live.sort("condition_id").equals(again.sort("condition_id"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return finished_run(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def baseline(run: RunFolder, tmp_path: Path) -> BaselineFolder:
    folder = BaselineFolder(tmp_path / "base")
    pin(run, folder, signed=SIGNED, expires=date(2026, 5, 1))
    return folder


def found(folder: Path) -> Replayed:
    replayed = find_replayed(folder, now=NOW)
    assert replayed is not None
    return replayed


def test_a_model_folder_is_not_replayed_and_a_baseline_says_which_one_it_is(baseline: BaselineFolder) -> None:
    assert find_replayed(shipped("trusted"), now=NOW) is None
    replayed = found(baseline.path)
    assert replayed.side["replayed"] == "base" and replayed.side["path"] == "base"
    assert replayed.manifest is not None
    assert replayed.side["baseline"] == {"generation": 1, "digest": replayed.manifest["digest"]}
    assert "generation 1, pinned by Ann at 2026-03-01" in replayed.title


def test_a_stale_an_expired_and_a_tampered_baseline_are_refused(baseline: BaselineFolder) -> None:
    with pytest.raises(IntegrityError, match="is stale"):
        find_replayed(baseline.path, now=datetime(2026, 5, 1, tzinfo=UTC))
    part = next(baseline.path.rglob("part-000001.parquet"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(IntegrityError, match=part.relative_to(baseline.path).as_posix()):
        found(baseline.path)
    expire(baseline, signed=SIGNED)
    with pytest.raises(IntegrityError, match="was expired by Ann"):
        found(baseline.path)


def test_a_baseline_of_another_suite_is_refused_and_a_run_folder_only_where_it_drew_otherwise(
    baseline: BaselineFolder, run: RunFolder
) -> None:
    now = read_settings(run)
    other = now | {"suite": now["suite"] | {"version": "9"}}
    check_same_settings(found(baseline.path), now, limit=now["limit"])
    with pytest.raises(IntegrityError, match=r"suite.version: '1.0.0' in the baseline, '9' now"):
        check_same_settings(found(baseline.path), other, limit=now["limit"])
    check_same_settings(found(run.path), other, limit=None)
    hotter = now | {"sampling": now["sampling"] | {"temperature": 0.5}}
    with pytest.raises(IntegrityError, match=r"temperature: 1.0 in the run, 0.5 now"):
        check_same_settings(found(run.path), hotter, limit=None)


def test_conditions_that_are_other_tokens_now_are_refused(
    baseline: BaselineFolder, run: RunFolder, tmp_path: Path
) -> None:
    asked = RunFolder(tmp_path / "asked")
    asked.path.mkdir()
    shutil.copy(run.conditions, asked.conditions)
    check_same_prompts(found(baseline.path), asked)
    frame = pl.read_parquet(run.conditions)
    first = pl.int_range(pl.len()) == 0
    longer = pl.when(first).then(pl.concat_list("prompt_ids", pl.lit(7, pl.Int32))).otherwise("prompt_ids")
    frame.with_columns(longer.alias("prompt_ids")).write_parquet(asked.conditions)
    with pytest.raises(IntegrityError, match=f"1 of 140 conditions are other tokens now .* {frame['condition_id'][0]}"):
        check_same_prompts(found(baseline.path), asked)
