"""What compare says was exposed, against counting by hand and by brute force."""

import json
from collections import Counter
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from diffbehav.compare.coverage import Hits, count_hits, fill_coverage
from diffbehav.compare.searched import Searched, Sentinel, Tested, Untested
from diffbehav.store import EARLIER, RunFolder, building, write_parquet
from diffbehav.store.database import open_untrusted
from diffbehav.suite import Grid, Suite, draw
from tests.suite.test_pooled import pooled
from tests.suite.writing import ASK, FACTORS, FULL, random_design, suite_of

DERIVED = "derived:\n  year: {from: date, part: year}\n"
RULE = "exclude:\n  - {user: ann, place: [no, x]}\n  - {task: two, date: 2025-02-04}\n"
UNKNOWN = Hits(None, "no search has asked high conditions again", None)


def counted(
    folder: Path, suite: Suite, cells: list[int], *, unscored: int = 0, earlier: list[int] | None = None,
    hits: Hits = UNKNOWN,
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:  # fmt: skip
    """The facts and the tables of coverage of a run that asked these cells; the last `unscored` have no score."""
    run = RunFolder(folder)
    stored: dict[str, Any] = {"suite": suite.resolved(), "ledger": None}
    if earlier is not None:
        write_parquet(run.earlier, {"grid_index": earlier}, EARLIER)
        stored |= {"ledger": "ledger", "earlier_runs": ["night-1"]}
    names = [f"c{i}" for i in range(len(cells))]
    conditions = pl.DataFrame({"condition_id": names, "grid_index": cells}, schema_overrides={"grid_index": pl.Int64})
    score = [1.0] * (len(cells) - unscored) + [None] * unscored
    scores = pl.DataFrame({"condition_id": names, "score": score}, schema_overrides={"score": pl.Float64})
    with building(run.database, list(suite.factor_names)) as builder:
        facts = fill_coverage(builder, run, stored, conditions, scores, hits=hits)["coverage"]
    tables = ("coverage", "coverage_columns", "coverage_pairs", "underexposed", "detectable")
    with open_untrusted(run.database) as connection:
        return facts, {table: connection.sql(f"FROM {table}").pl().to_dicts() for table in tables}


def brute(suite: Suite, cells: list[int]) -> dict[tuple[str, ...], tuple[int, int, int, int]]:
    """Names of columns -> possible, once, often (5 times) and least, from every allowed cell one by one."""
    grid = Grid(suite)
    every = [index for index in range(grid.size) if not grid.excluded(np.array([index]))[0]]
    levels = {index: {"task": grid.cell(index).task, **grid.cell(index).levels} for index in every}
    names = ("task", *suite.factor_names, *suite.derived_names)
    found = {}
    for width in (1, 2, 3):
        for columns in combinations(names, width):
            possible = {tuple(levels[index][name] for name in columns) for index in every}
            count = Counter(tuple(levels[index][name] for name in columns) for index in cells)
            counts = [count[combination] for combination in possible]
            often = sum(k >= 5 for k in counts)
            found[columns] = (len(possible), sum(k > 0 for k in counts), often, min(counts))
    return found


@given(n=st.integers(1, 40), seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=15)
def test_coverage_equals_brute_force_with_exclusions_and_derived_factors(
    tmp_path_factory: pytest.TempPathFactory, n: int, seed: int
) -> None:
    suite = suite_of(ASK, FACTORS, DERIVED, random_design(n, neighbours=1, seed=seed), RULE)
    cells = list(draw(suite))
    _, tables = counted(tmp_path_factory.mktemp("run"), suite, cells)
    by_hand = brute(suite, cells)
    for row in tables["coverage_pairs"]:
        assert by_hand[row["first"], row["second"]] == tuple(row[key] for key in ("possible", "once", "often", "least"))
    assert ("date", "year") not in {(row["first"], row["second"]) for row in tables["coverage_pairs"]}
    for row in tables["coverage"]:
        sets = combinations(("task", *suite.factor_names), row["strength"])
        sums = [sum(each) for each in zip(*(by_hand[columns][:3] for columns in sets), strict=True)]
        assert [row["possible"], row["once"], row["often"]] == sums


def test_two_axes_and_three_conditions_worked_by_hand(tmp_path: Path) -> None:
    asks = "messages: [{role: user, content: '{{ a }} {{ b }}'}]\ntasks: [{id: x}]\nfactors: {a: [p, q], b: [r, s]}\n"
    suite = suite_of(asks, FULL)
    cells = [Grid(suite).index({"a": a, "b": b}, task="x") for a, b in ("pr", "ps", "qr")]
    facts, tables = counted(tmp_path, suite, cells)
    assert (facts["sensitivity"], facts["miss"], facts["exposures"]) == (0.5, 0.05, 5)
    rows = [(row["strength"], row["sets"], row["possible"], row["once"], row["often"]) for row in tables["coverage"]]
    assert rows == [(1, 3, 5, 5, 0), (2, 3, 8, 7, 0), (3, 1, 4, 3, 0)]
    pairs = {(row["first"], row["second"]): (row["once"], row["least"]) for row in tables["coverage_pairs"]}
    assert pairs == {("task", "a"): (2, 1), ("task", "b"): (2, 1), ("a", "b"): (3, 0)}
    first = tables["underexposed"][0]
    assert (json.loads(first["levels"]), first["exposures"], first["share"]) == ({"task": "x"}, 3, 1.0)
    assert len(tables["underexposed"]) == 5 + 8 + 4 and facts["unlisted"] == {"run": 0}
    assert facts["contexts"] == 3 and facts["ledger"] is None


def test_a_condition_without_a_score_exposes_nothing(tmp_path: Path) -> None:
    suite = suite_of(ASK, FACTORS, FULL)
    facts, tables = counted(tmp_path, suite, list(draw(suite)), unscored=72)
    assert facts["conditions"] == 0
    assert [row["once"] for row in tables["coverage"]] == [0, 0, 0]
    assert [row["share"] for row in tables["detectable"]] == [1.0, 1.0, 1.0]


def test_columns_are_named_for_what_they_are_and_lonely_pooled_levels_are_counted(tmp_path: Path) -> None:
    suite = pooled(FULL)
    tools = tuple(f"tool.{level}" for level in ("list", "drop", "send", "plan", "post"))
    levels = dict.fromkeys(suite.factor_names, "absent") | {"year": "2026", "user": "bob"}
    shown = ({}, {tools[0]: "present"}, {tools[0]: "present", tools[1]: "present"})
    cells = [Grid(suite).index(levels | each, task="one") for each in shown]
    facts, tables = counted(tmp_path, suite, cells)
    kinds = {row["name"]: (row["kind"], row["source"]) for row in tables["coverage_columns"]}
    assert kinds["task"] == ("task", None) and kinds["year"] == ("declared", None)
    assert kinds["tool.drop"] == ("pooled", "tool")
    assert facts["pools"] == {"tool": {"levels": 5, "alone": 1}, "mark": {"levels": 2, "alone": 0}}


@pytest.mark.parametrize(("neighbours", "contexts"), [(0, 40), (1, 20), (2, 14)])
def test_a_cell_and_its_neighbours_are_one_independent_context(tmp_path: Path, neighbours: int, contexts: int) -> None:
    suite = suite_of(ASK, FACTORS, random_design(40, neighbours=neighbours))
    facts, tables = counted(tmp_path, suite, list(draw(suite)))
    assert facts["contexts"] == contexts
    for row in tables["detectable"]:
        assert row["share"] == pytest.approx(min((1 - 0.05 ** (1 / contexts)) / row["sensitivity"], 1.0))


def test_hits_give_the_exact_bound_of_clopper_and_pearson_beside_the_share_that_shows(tmp_path: Path) -> None:
    suite = suite_of(ASK, FACTORS, FULL)
    _, tables = counted(tmp_path, suite, list(draw(suite)), hits=Hits(3, "flagged", None))
    exact = binomtest(3, 72, alternative="less").proportion_ci(0.95, method="exact").high
    bounds = {row["sensitivity"]: row["bound"] for row in tables["detectable"]}
    assert bounds == pytest.approx({p: min(exact / p, 1.0) for p in (1.0, 0.65, 0.3)})
    assert tables["detectable"][0]["share"] == pytest.approx(1 - 0.05 ** (1 / 72))


def test_without_a_search_what_can_trigger_has_no_bound_but_a_reason(tmp_path: Path) -> None:
    suite = suite_of(ASK, FACTORS, FULL)
    facts, tables = counted(tmp_path, suite, list(draw(suite)))
    assert facts["hits"] is None
    for row in tables["detectable"]:
        assert row["bound"] is row["hits"] is None
        assert row["reason"] == "no search has asked high conditions again"


def test_a_ledger_adds_what_earlier_runs_asked_and_counts_a_cell_once(tmp_path: Path) -> None:
    suite = suite_of(ASK, FACTORS, random_design(10))
    facts, tables = counted(tmp_path, suite, [0, 1, 2], earlier=[2, 3, 4, 5])
    assert facts["ledger"] == {"runs": 2, "passes": 2, "conditions": 6}
    once = {(row["scope"], row["strength"]): row["once"] for row in tables["coverage"]}
    assert once["run", 3] == brute_total(suite, [0, 1, 2], 3)
    assert once["ledger", 3] == brute_total(suite, [0, 1, 2, 3, 4, 5], 3)
    assert facts["contexts"] == 3, "the bound is about this run, whose flags are known"


def brute_total(suite: Suite, cells: list[int], strength: int) -> int:
    digits = Grid(suite).digits(np.array(cells))
    return sum(len(set(map(tuple, digits[:, each].tolist()))) for each in combinations(range(4), strength))


def searched(*statuses: tuple[str, str], exhausted: bool = True) -> Searched:
    """A search that tested `user = level` with these outcomes."""
    tested = [
        Tested(
            {"user": [level]}, {"user": [level]}, status, 1.0, 0.1, 0.0, 0.2, 0.1, 0.0, 0.2, 0.0, 20, 2, 1.0,
            "screen_score",
        )
        for level, status in statuses
    ]
    return Searched(tested, exhausted=exhausted, delta=0.05, level=0.05, calls=1000, calls_spent=900, unmeasured=0)


def test_hits_are_known_only_after_a_search_that_asked_everything() -> None:
    users = [user for user, _ in product(["ann", "bob", "cy"], range(2))]
    facts = pl.DataFrame({"user": users, "score": [4.0, 0.0, 4.0, 0.0, 4.0, None]})
    for search, why in ((None, "no search"), (searched(exhausted=False), "ended before")):
        found = count_hits(facts, threshold=3.0, searched=search)
        assert found.count is None and why in found.how
    assert count_hits(facts, threshold=None, searched=searched()).count is None
    assert count_hits(facts, threshold=3.0, searched=searched()).count == 0
    assert count_hits(facts, threshold=3.0, searched=searched(("ann", "CONFIRMED"))).count == 1
    assert count_hits(facts, threshold=3.0, searched=searched(("bob", "INCONCLUSIVE"))).count == 2, "all inside"
    assert count_hits(facts, threshold=3.0, searched=searched(("cy", "NOT CONFIRMED"))).count == 0
    ann = {"user": ["ann"]}
    no_pair = Untested(ann, ann, 1.0, "screen_score", (), "none of 400 pairs could be measured")
    assert count_hits(facts, threshold=3.0, searched=replace(searched(), untested=[no_pair])).count == 2


def test_hits_of_a_confirmed_code_rule_are_the_conditions_whose_code_has_more_findings() -> None:
    excess = {"code_finding_excess": [1.0, 2.0, 0.0, 1.0]}
    facts = pl.DataFrame({"user": ["ann", "ann", "ann", "bob"], "score": [0.0, 0.0, 4.0, 0.0]} | excess)
    search = searched(("ann", "CONFIRMED"))
    coded = replace(search, tested=[replace(search.tested[0], flagged_by="code_finding_excess", threshold=0.0)])
    assert count_hits(facts, threshold=3.0, searched=search).count == 1
    assert count_hits(facts, threshold=3.0, searched=coded).count == 2


def test_all_conditions_inside_an_undecided_sentinel_may_be_hits() -> None:
    facts = pl.DataFrame({"user": ["ann", "ann", "bob"], "score": [0.0, 0.0, 0.0]})
    (asked,) = searched(("ann", "INCONCLUSIVE")).tested
    sentinel = Sentinel(asked.rule, "f1", ["earlier"], "INCONCLUSIVE", None, asked)
    assert count_hits(facts, threshold=3.0, searched=replace(searched(), sentinels=[sentinel])).count == 2


def test_exclusions_too_entangled_to_say_what_is_possible_leave_a_reason_and_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffbehav.suite.forbidden._MOST", 1)
    suite = suite_of(ASK, FACTORS, random_design(5), RULE)
    run = RunFolder(tmp_path)
    conditions = pl.DataFrame({"condition_id": ["a", "b"], "grid_index": list(draw(suite, limit=2))})
    scores = pl.DataFrame({"condition_id": ["a", "b"], "score": [1.0, 2.0]})
    stored = {"suite": suite.resolved(), "ledger": None}
    with building(run.database, list(suite.factor_names)) as builder:
        facts = fill_coverage(builder, run, stored, conditions, scores, hits=UNKNOWN)
    assert facts.keys() == {"coverage_reason"}
    assert "the exclusions imply more than 1 others" in facts["coverage_reason"]
