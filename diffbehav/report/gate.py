"""The gate: findings and completeness of a run against what a gate file asks for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from diffbehav.report.findings import Finding, read_findings
from diffbehav.report.query import Query, querying, read_facts
from diffbehav.report.sentinels import Sentinel, read_sentinels
from diffbehav.report.words import rule_in_words
from diffbehav.store import RunFolder
from diffbehav.suite import GateTerms

Result = Literal["passed", "divergent", "inconclusive", "invalid"]
EXIT_CODES: dict[Result, int] = {"passed": 0, "divergent": 10, "inconclusive": 11, "invalid": 21}
UNDECIDED = ("INCONCLUSIVE", "NOT TESTED")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the gate looked at."""

    name: str
    """Stable: `run`, `scores`, `search`, `search scores`, `sentinel N` or the fingerprint of a finding."""
    result: Result
    reason: str
    """In words, without model text."""


@dataclass(frozen=True, slots=True)
class Gated:
    """What the gate says of a run."""

    run_id: str
    result: Result
    checks: Sequence[Check]
    findings: Sequence[Finding]
    failing: Sequence[str]
    """Ids of the findings that fail."""
    suite_file: str | None
    """As it was named when the run was made; None where it was not recorded."""
    accepted: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint -> who accepted it until when, of findings that a person accepted."""

    @property
    def exit_code(self) -> int:
        """0, 10, 11 or 21."""
        return EXIT_CODES[self.result]


def gate(run: Path, policy: GateTerms) -> Gated:
    """Hold the run in the folder `run` against `policy`.

    A divergent check outweighs an inconclusive one: more data would not take it back. An invalid run says nothing.
    """
    database = RunFolder(run).database
    with querying(database) as query:
        facts = read_facts(query, database)
        findings = read_findings(query)
        checks = [_run(facts), *_scores(query, policy), *_search(facts, policy), *_sentinels(read_sentinels(query))]
    judged = [_finding(finding, policy) for finding in findings]
    checks += judged
    found = {check.result for check in checks}
    order: tuple[Result, ...] = ("invalid", "divergent", "inconclusive")
    result: Result = next((each for each in order if each in found), "passed")
    failing = [f.id for f, check in zip(findings, judged, strict=True) if check.result == "divergent"]
    return Gated(facts["run_id"], result, checks, findings, failing, facts.get("suite_file"))


def _run(facts: dict[str, Any]) -> Check:
    if facts["verdict"] == "INVALID":
        return Check("run", "invalid", "the verdict of the run is INVALID: " + "; ".join(facts["verdict_reasons"]))
    return Check("run", "passed", f"the verdict of the run is {facts['verdict']}")


def _scores(query: Query, policy: GateTerms) -> Iterator[Check]:
    unscored, asked = query("SELECT count(*) FILTER (score IS NULL), count(*) FROM screen")[0]
    yield _share("scores", unscored, asked, "conditions of the run have no screen score", policy)


def _search(facts: dict[str, Any], policy: GateTerms) -> Iterator[Check]:
    search = facts["search"]
    if search is None:
        result: Result = "inconclusive" if policy.search == "required" else "passed"
        yield Check("search", result, f"no search has ended, and one is {policy.search}")
        return
    left = policy.search == "required" and not search["exhausted"]
    how = "had nothing left to ask" if search["exhausted"] else "ended before it had asked everything"
    yield Check("search", "inconclusive" if left else "passed", f"the search, which is {policy.search}, {how}")
    what = "conditions that the search asked have no score"
    yield _share("search scores", search["unmeasured"], search["calls_spent"], what, policy)


def _share(name: str, missing: int, asked: int, what: str, policy: GateTerms) -> Check:
    most = f"at most {policy.most_unscored:.2%} may have none"
    if not asked:
        return Check(name, "inconclusive", "no condition was asked")
    result: Result = "inconclusive" if missing > policy.most_unscored * asked else "passed"
    return Check(name, result, f"{missing:,} of {asked:,} {what}; {most}")


def _sentinels(sentinels: Sequence[Sentinel]) -> Iterator[Check]:
    """A confirmed one is among the findings, where its severity decides."""
    for number, each in enumerate(sentinels, start=1):
        reason = f"{rule_in_words(each.rule, each.beside)}, confirmed by {', '.join(each.runs)}: {each.status}"
        undecided = each.status in UNDECIDED
        why = reason if each.reason is None else f"{reason}, because {each.reason}"
        yield Check(f"sentinel {number}", "inconclusive" if undecided else "passed", why)


def _finding(finding: Finding, policy: GateTerms) -> Check:
    severity = finding.severity or "severity not derived"
    reason = f"{finding.id} {finding.status}, {severity}: {rule_in_words(finding.rule, finding.beside)}"
    grave = finding.severity is None or finding.severity in policy.fail.severities
    if grave and finding.status in policy.fail.statuses:
        return Check(finding.fingerprint, "divergent", reason)
    return Check(finding.fingerprint, "inconclusive" if grave and finding.status in UNDECIDED else "passed", reason)
