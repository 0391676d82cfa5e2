"""What a night comes to where one rule is known under two fingerprints, from findings to exit code."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from diffbehav.nightly.judge import judged, renamed
from diffbehav.nightly.standing import lineage, standings
from diffbehav.nightly.triage import Acceptance
from diffbehav.report.findings import Finding
from diffbehav.report.gate import Check, Gated, Result

TODAY = date(2026, 11, 20)
RULE = {"year": ["2026"]}
CALLS, CODE, TEXT = "a" * 64, "b" * 64, "c" * 64
UNDECIDED = ("INCONCLUSIVE", "NOT TESTED")
RESULTS: Mapping[str, Result] = {
    "CONFIRMED": "divergent", "NOT CONFIRMED": "passed", "INCONCLUSIVE": "inconclusive", "NOT TESTED": "inconclusive"
}  # fmt: skip
NUMBERS = dict.fromkeys(("score", "effect", "rate_inside", "rate_inside_low", "rate_inside_high", "rate_outside"), 0.5)
NONE = dict.fromkeys(
    ("effect_low", "effect_high", "pair_inside", "pair_outside", "pair_factor", "pair_reason", "reason")
)
REST: Mapping[str, Any] = {"n": 40, "n_flagged": 20, "flagged_by": "", "severity_reason": ""}


def finding(fingerprint: str, severity: str | None, status: str = "CONFIRMED") -> dict[str, Any]:
    kind = {CALLS: "tool_call", CODE: "code", TEXT: "text"}[fingerprint]
    about = {"rule": RULE, "beside": (), "kind": kind}
    return {"fingerprint": fingerprint, **about, "severity": severity, "status": status}


def earlier(fingerprint: str, severity: str | None, state: str = "persisting") -> dict[str, Any]:
    seen = {"state": state, "reason": "", "first_seen": "2026-11-01", "confirmed": True, "fails": True}
    return finding(fingerprint, severity) | seen


def accepted(fingerprint: str, severity: str | None) -> Acceptance:
    return Acceptance(fingerprint, "accept", "Ann", "wanted", "2026-11-02", "2026-12-01", severity)


def ends(
    tonight: list[dict[str, Any]], *, known: list[dict[str, Any]], decided: list[Acceptance],
    sentinels: Mapping[str, str] | None = None,
) -> tuple[int, list[str]]:  # fmt: skip
    """Exit code and states of a night after one that had the rows `known`; `sentinels`: fingerprint -> status."""
    asked = [
        {"fingerprint": print_, "rule": RULE, "status": status, "reason": None}
        for print_, status in (sentinels or {}).items()
    ]
    found: dict[str, Any] = {"findings": tonight, "sentinels": asked}
    whole = [
        Finding(id=f"F{n:03d}", **each, **NUMBERS, **NONE, **REST)
        for n, each in enumerate(tonight, start=1)
    ]
    checks = [Check(f"sentinel {n}", RESULTS[each["status"]], "") for n, each in enumerate(asked, start=1)]
    checks += [Check(each.fingerprint, RESULTS[each.status], "") for each in whole]
    failing = [each.id for each in whole if each.status == "CONFIRMED"]
    gated = Gated("r", "divergent", checks, whole, failing, None)
    nights = [{"findings": known}]
    found, gated = renamed(found, gated, lineage(found, nights))
    rows = standings(
        found, failing=[each.fingerprint for each in gated.findings if each.id in failing], earlier=nights,
        decided={each.fingerprint: each for each in decided}, today=TODAY, detects=True,
    )  # fmt: skip
    return judged(gated, rows, asked, canary=None, alarms=[]).exit_code, [row.state for row in rows]


def test_what_was_accepted_of_a_rule_excuses_no_other_finding_of_that_rule() -> None:
    both = [finding(CALLS, "critical"), finding(CODE, "medium")]
    night = ends(both, known=[earlier(CODE, "medium")], decided=[accepted(CODE, "medium")])
    assert night == (10, ["new", "accepted"])
    night = ends([finding(CODE, "medium")], known=[earlier(CODE, "medium")], decided=[accepted(CODE, "medium")])
    assert night == (0, ["accepted"])


def test_of_two_findings_with_one_fingerprint_the_gravest_decides_whether_it_is_accepted() -> None:
    for tonight in (
        [finding(CODE, "critical"), finding(CODE, "medium")],
        [finding(CODE, "medium"), finding(CODE, "critical", "INCONCLUSIVE")],
    ):
        code, states = ends(tonight, known=[earlier(CODE, "medium")], decided=[accepted(CODE, "medium")])
        assert (code, states) == (10, ["persisting"])


def test_a_rule_that_is_known_under_two_fingerprints_gives_neither_to_a_third() -> None:
    known = [earlier(CALLS, "critical"), earlier(CODE, "medium")]
    assert ends([finding(TEXT, "low")], known=known, decided=[accepted(CALLS, "critical")])[0] == 10
    assert ends([finding(CODE, "medium")], known=known, decided=[accepted(CALLS, "critical")])[0] == 10


def test_an_undecided_sentinel_is_quiet_only_where_all_that_is_known_of_its_rule_is_settled() -> None:
    known = [earlier(CALLS, "critical"), earlier(CODE, "medium")]
    some, every = [accepted(CODE, "medium")], [accepted(CODE, "medium"), accepted(CALLS, "critical")]
    assert ends([], known=known, decided=some, sentinels={CODE: "INCONCLUSIVE"})[0] == 11
    assert ends([], known=known, decided=every, sentinels={CODE: "INCONCLUSIVE"})[0] == 0
    assert ends([], known=known[1:], decided=some, sentinels={CALLS: "INCONCLUSIVE"})[0] == 0


@pytest.mark.parametrize("status", UNDECIDED)
def test_an_acceptance_covers_no_graver_effect_that_tonight_could_not_decide(status: str) -> None:
    known, decided = [earlier(CODE, "medium")], [accepted(CODE, "medium")]
    undecided = (11, ["undecided"])
    for severity, night in (("medium", (0, ["accepted"])), ("critical", undecided), (None, undecided)):
        assert ends([finding(CODE, severity, status)], known=known, decided=decided) == night
        assert ends([finding(CALLS, severity, status)], known=known, decided=decided) == night
        asked = {CODE: "INCONCLUSIVE"}
        assert ends([finding(CODE, severity, status)], known=known, decided=decided, sentinels=asked) == night
