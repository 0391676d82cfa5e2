import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from diffbehav.report.against_baseline import read_against
from diffbehav.report.checkpoints_markdown import measure_in_words
from diffbehav.report.factors import read_factors
from diffbehav.report.findings import read_findings
from diffbehav.report.query import querying, read_facts
from diffbehav.report.sentinels import Sentinel
from diffbehav.report.series import changes, read_run, rules_over
from tests.report.synthetic import make_run


def cell(run: str, status: str) -> dict[str, Any]:
    """Effects as a rule that always fires has them, and one that never does."""
    ends = {"CONFIRMED": (0.6, 1.0), "NOT CONFIRMED": (-0.05, 0.2)}.get(status, (None, None))
    return {"run": run, "status": status, "effect_low": ends[0], "effect_high": ends[1]}


WORDS = {"+": "CONFIRMED", "-": "NOT CONFIRMED", "?": "INCONCLUSIVE", "n": "NOT TESTED"}


@pytest.mark.parametrize(
    ("statuses", "ends", "turns"),
    [
        ("--++-", ("c", "d"), [("appears", "b", "c", ""), ("vanishes", "d", "e", "")]),
        ("-?n+", ("d", "d"), [("appears", "a", "d", "bc")]),
        ("+?+", ("a", "c"), []),
        ("+n-", ("a", "a"), [("vanishes", "a", "c", "b")]),
        ("n?+", ("c", "c"), []),
        ("+nn", ("a", "a"), []),
        ("-?n", (None, None), []),
    ],
)
def test_a_change_lies_between_runs_that_decided_and_what_is_open_in_between_is_named(
    statuses: str, ends: tuple[str | None, str | None], turns: list[tuple[str, str, str, str]]
) -> None:
    found = changes([cell(chr(97 + place), WORDS[mark]) for place, mark in enumerate(statuses)])
    assert (found["first_confirmed"], found["last_confirmed"]) == ends
    assert found["changes"] == [
        {"change": change, "after": after, "by": by, "undecided": list(undecided), "apart": True}
        for change, after, by, undecided in turns
    ]


def test_a_change_whose_two_sequences_meet_says_so() -> None:
    weak = cell("b", "CONFIRMED") | {"effect_low": 0.1}
    assert [turn["apart"] for turn in changes([cell("a", "NOT CONFIRMED"), weak])["changes"]] == [False]


RULE = {"year": ["2026"]}


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that found one rule by both measures: CONFIRMED by the screen's score, NOT CONFIRMED by code findings."""
    run = make_run(tmp_path_factory.mktemp("twice"), hostile=[])
    with duckdb.connect(str(run / "run.duckdb")) as connection:
        tested = "effect_low = 0.5, effect_high = 0.9"
        connection.execute(f"UPDATE findings SET status = 'CONFIRMED', {tested} WHERE finding_id = 'F001'")
        connection.execute(
            f"UPDATE findings SET status = 'NOT CONFIRMED', {tested}, rule = ?, kind = 'code', "
            "flagged_by = 'code_finding_excess' WHERE finding_id = 'F002'",
            [json.dumps(RULE)],
        )
    return run / "run.duckdb"


def test_a_rule_that_two_measures_found_has_a_row_for_each_with_its_own_status(twice: Path) -> None:
    rows = [each for each in rules_over([read_run("a", twice)]) if each["rule"] == RULE]
    assert [(each["flagged_by"], each["kind"], each["cells"][0]["status"]) for each in rows] == [
        ("screen_score", "tool_call", "CONFIRMED"), ("code_finding_excess", "code", "NOT CONFIRMED")
    ]  # fmt: skip
    said = [measure_in_words(each) for each in rows]
    assert said == ["", " (with static findings beyond the trusted model's)"]


@pytest.mark.parametrize(
    ("asked", "statuses"),
    [
        ([("0", "NOT CONFIRMED")], ["NOT CONFIRMED", "NOT TESTED"]),
        ([("1", "NOT CONFIRMED")], ["NOT TESTED", "NOT CONFIRMED"]),
        ([("0", "INCONCLUSIVE"), ("1", "NOT CONFIRMED")], ["INCONCLUSIVE", "NOT CONFIRMED"]),
        ([("e", "NOT CONFIRMED"), ("f", "INCONCLUSIVE")], ["INCONCLUSIVE", "INCONCLUSIVE"]),
    ],
)
def test_a_rule_that_was_asked_again_fills_the_row_of_its_own_measure_and_of_two_the_less_decided_counts(
    twice: Path, asked: list[tuple[str, str]], statuses: list[str]
) -> None:
    numbers = {"rate_inside": 0.0, "rate_outside": 0.0, "effect": 0.0, "effect_low": -0.1, "effect_high": 0.1}
    sentinels = [Sentinel(RULE, print_ * 64, ("a",), (), status, None, 40, **numbers) for print_, status in asked]
    first = read_run("a", twice)
    runs = [first, replace(first, label="b", findings={}, sentinels=sentinels)]
    rows = [each for each in rules_over(runs) if each["rule"] == RULE]
    assert [each["cells"][1]["status"] for each in rows] == statuses


def test_a_rule_that_two_measures_found_stands_against_the_baseline_with_its_best_status(twice: Path) -> None:
    found = [{"rule": RULE, "status": status} for status in ("CONFIRMED", "INCONCLUSIVE")]
    baseline = {
        "name": "base", "generation": 1, "digest": "d" * 64, "expires": None,
        "pinned": {"by": "Ann", "why": "base", "at": "2026-01-01"}, "found": {"candidate": "c", "findings": found},
    }  # fmt: skip
    with querying(twice) as query:
        facts = read_facts(query, twice) | {"baseline": baseline}
        against = read_against(query, facts, read_factors(query), read_findings(query))
    assert against is not None
    assert [(each.then, each.now) for each in against.rules if each.rule == RULE] == [("CONFIRMED", "CONFIRMED")]
