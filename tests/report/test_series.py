from typing import Any

import pytest

from diffbehav.report.series import changes


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
