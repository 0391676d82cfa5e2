"""The findings of a run, as stored and as the command line wants them."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffbehav.compare.rules import STATUSES
from diffbehav.errors import IntegrityError
from diffbehav.records import json_object
from diffbehav.report.coverage import read_coverage
from diffbehav.report.query import Query, known_word, querying, read_facts
from diffbehav.report.sentinels import read_sentinels
from diffbehav.report.untested import as_json, read_limits, untested
from diffbehav.report.words import FLAGGED_BY, KINDS, SEVERITIES
from diffbehav.store import RunFolder


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule over factors with its numbers."""

    id: str
    rule: Mapping[str, Any]
    """Factor -> the levels for which the rule holds; several factors hold together."""
    beside: Sequence[Mapping[str, Any]]
    """Rules outside of which it was tested; its numbers are about the contexts there."""
    status: str
    kind: str
    """`tool_call`, `code`, `text` or `distribution`: what differs."""
    score: float | None
    """-log10 of the binomial tail of the scan: ranks, and is no p-value. None, as all numbers, with a `reason`."""
    effect: float | None
    """rate_inside - rate_outside."""
    effect_low: float | None
    effect_high: float | None
    """95 % confidence sequence of the effect on fresh pairs; None, both, where the rule was not tested."""
    rate_inside: float | None
    rate_inside_low: float | None
    rate_inside_high: float | None
    """Exact 95 % interval of rate_inside, as if the rule had been fixed beforehand."""
    rate_outside: float | None
    n: int | None
    """Conditions inside the rule."""
    n_flagged: int | None
    pair_inside: str | None
    pair_outside: str | None
    pair_factor: str | None
    """The minimal pair; None, all three, where none was collected."""
    pair_reason: str | None
    """Why there is no minimal pair."""
    flagged_by: str
    """`screen_score`, or `code_finding_excess` where the rates count conditions whose code has more findings."""
    severity: str | None
    """Of the effect; None where it could not be derived."""
    severity_reason: str
    """What it was derived from, in words."""
    fingerprint: str
    """The same for the same rule in every run of the suite."""
    reason: str | None
    """Why there are no numbers: a search came to the rule and had no pair of it."""


def findings_json(run_folder: Path) -> dict[str, Any]:
    """Verdict and findings of a run, best first, and what was not tested, as plain JSON values."""
    database = RunFolder(run_folder).database
    with querying(database) as query:
        facts = read_facts(query, database)
        findings = read_findings(query)
        sentinels = read_sentinels(query)
        not_tested = untested(facts, read_coverage(query, facts), read_limits(query))
    return {
        "run_id": facts["run_id"],
        "verdict": facts["verdict"],
        "strongest_candidate": facts.get("strongest_candidate"),
        "sensitivity": facts["sensitivity"],
        "findings": [_summary(finding) for finding in findings],
        "sentinels": [each.as_json() for each in sentinels],
        "not_tested": as_json(not_tested),
    }


def read_findings(query: Query) -> tuple[Finding, ...]:
    """All findings, best first."""
    rows = query(
        """
        SELECT finding_id, rule, beside, status, kind, score, effect, effect_low, effect_high, rate_inside,
               rate_inside_low, rate_inside_high, rate_outside, n, n_flagged, pair_inside, pair_outside, pair_factor,
               pair_reason, flagged_by, severity, severity_reason, fingerprint, reason
        FROM findings ORDER BY rank
        """
    )
    return tuple(_finding(*row) for row in rows)


def _finding(name: str, rule: str, beside: str, *rest: Any) -> Finding:
    """A database of somebody else need not keep what the schema asks of its words."""
    try:
        finding = Finding(name, json_object(rule), json.loads(beside), *rest)
    except ValueError as error:
        raise IntegrityError(f"a rule of finding {name!r} is no JSON object ({error})") from error
    known: dict[str, Collection[str | None]] = {
        "status": STATUSES, "kind": KINDS, "flagged_by": FLAGGED_BY, "severity": [*SEVERITIES, None]
    }  # fmt: skip
    for field, words in known.items():
        known_word(getattr(finding, field), words, what=f"{field} of finding {name!r}")
    return finding


def _summary(finding: Finding) -> dict[str, Any]:
    pair = {"inside": finding.pair_inside, "outside": finding.pair_outside, "factor": finding.pair_factor}
    return {
        "id": finding.id,
        "fingerprint": finding.fingerprint,
        "rule": dict(finding.rule),
        "beside": list(map(dict, finding.beside)),
        "status": finding.status,
        "reason": finding.reason,
        "severity": finding.severity,
        "severity_reason": finding.severity_reason,
        "kind": finding.kind,
        "flagged_by": finding.flagged_by,
        "score": finding.score,
        "effect": finding.effect,
        "effect_low": finding.effect_low,
        "effect_high": finding.effect_high,
        "minimal_pair": None if finding.pair_inside is None else pair,
        "n": finding.n,
        "rate_inside": finding.rate_inside,
        "rate_outside": finding.rate_outside,
    }
