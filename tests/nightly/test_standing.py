"""Findings over the nights, where the simulated fortnight does not lead."""

from datetime import date
from typing import Any

from diffbehav.nightly.markdown import night_page
from diffbehav.nightly.standing import lineage, standings
from diffbehav.nightly.triage import Acceptance

RULE = {"year": ["2026"]}
TODAY = date(2026, 11, 20)
ROW = {
    "fingerprint": "a" * 64, "rule": RULE, "beside": [], "kind": "text", "severity": "low", "status": "CONFIRMED",
    "state": "persisting", "reason": "", "first_seen": "2026-11-01", "confirmed": True, "fails": True,
}  # fmt: skip
FINDING = {
    "fingerprint": "a" * 64, "rule": RULE, "beside": [], "kind": "text", "severity": "low", "status": "CONFIRMED",
}
ACCEPTED = Acceptance("a" * 64, "accept", "Ann", "style", "2026-11-02", "2026-12-01", "low")


def standing(
    row: dict[str, Any], *findings: dict[str, Any], sentinel: str | None = None, detects: bool = True,
    accepted: bool = False,
) -> list[tuple[str, str]]:  # fmt: skip
    """State and severity of every row after one night that had `row`."""
    asked = {"fingerprint": ROW["fingerprint"], "rule": RULE, "status": sentinel, "reason": None}
    found = {"findings": list(findings), "sentinels": [] if sentinel is None else [asked]}
    rows = standings(
        found, failing=[each["fingerprint"] for each in findings], earlier=[{"findings": [row]}],
        decided={ROW["fingerprint"]: ACCEPTED} if accepted else {}, today=TODAY, detects=detects,
    )  # fmt: skip
    return [(each.state, each.severity) for each in rows]


def test_a_confirmed_rule_that_nothing_asked_or_decided_is_undecided_and_never_gone() -> None:
    assert standing(ROW) == [("undecided", "low")]
    assert standing(ROW, sentinel="INCONCLUSIVE") == [("undecided", "low")]
    assert standing(ROW, sentinel="NOT CONFIRMED") == [("resolved", "low")]
    assert standing(ROW, sentinel="NOT CONFIRMED", detects=False) == [("undecided", "low")]


def test_a_resolved_rule_stays_so_where_a_night_cannot_decide_and_is_new_where_it_is_back() -> None:
    resolved = ROW | {"state": "resolved", "status": "NOT CONFIRMED"}
    assert standing(resolved, sentinel="INCONCLUSIVE") == [("resolved", "low")]
    assert standing(resolved, sentinel="NOT TESTED") == [("undecided", "low")]
    assert standing(resolved, FINDING) == [("new", "low")]


def test_what_no_night_confirmed_is_missed_once_and_gone_where_a_search_refuted_it() -> None:
    proposed = ROW | {"confirmed": False, "status": "NOT TESTED"}
    assert standing(proposed) == [("undecided", "low")]
    assert standing(proposed | {"state": "undecided"}) == []
    assert standing(proposed, sentinel="NOT CONFIRMED") == []


def test_an_acceptance_covers_no_graver_effect_under_the_same_rule() -> None:
    assert standing(ROW, FINDING, accepted=True) == [("accepted", "low")]
    assert standing(ROW, FINDING | {"severity": "critical"}, accepted=True) == [("persisting", "critical")]
    assert standing(ROW, FINDING | {"severity": None}, accepted=True) == [("persisting", None)]
    assert standing(ROW, sentinel="INCONCLUSIVE", accepted=True) == [("accepted", "low")]


def test_a_rule_with_another_kind_of_difference_keeps_the_fingerprint_of_earlier_nights() -> None:
    other = FINDING | {"fingerprint": "b" * 64, "kind": "tool_call"}
    unknown = FINDING | {"fingerprint": "c" * 64, "rule": {"user": ["x"]}}
    found = {"findings": [other, unknown]}
    assert lineage(found, [{"findings": [ROW]}]) == {"b" * 64: "a" * 64}
    assert lineage({"findings": [FINDING]}, [{"findings": [ROW]}]) == {}


def test_a_row_says_outside_of_which_rules_it_was_tested_on_the_night_that_missed_it_too() -> None:
    beside = [{"user": ["guest"]}]
    found = {"findings": [FINDING | {"beside": beside}], "sentinels": []}
    (present,) = standings(found, failing=["a" * 64], earlier=[], decided={}, today=TODAY, detects=True)
    night = {"findings": [present.as_json()]}
    nothing = {"findings": [], "sentinels": []}
    (absent,) = standings(nothing, failing=[], earlier=[night], decided={}, today=TODAY, detects=True)
    assert present.beside == absent.beside == beside


def test_the_page_of_a_night_says_outside_of_which_rules_each_was_tested() -> None:
    night = {
        "date": "2026-11-20", "result": "divergent", "changes": [], "baseline": None, "checks": [], "canary": None,
        "conditions": 10, "findings": [ROW | {"beside": [{"user": ["guest"]}]}],
    }  # fmt: skip
    page = night_page(night, [], "<!-- first -->\n", link=None)
    assert "tested outside of" in page and "guest" in page
