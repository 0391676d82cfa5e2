"""Everything the report shows, read from run.duckdb into one record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from diffbehav.report.factors import Factor, read_factors
from diffbehav.report.findings import Finding, read_findings
from diffbehav.report.pairs import Pair, read_pair
from diffbehav.report.query import Query, querying, read_facts
from diffbehav.report.shares import Shares, read_shares

PAIRS = 5
"""Minimal pairs shown in full."""


class Missing(NamedTuple):
    """How often something has no number or no whole answer, and why."""

    what: str
    reason: str
    n: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run as the report needs it."""

    facts: Mapping[str, Any]
    """Table `run`, values parsed."""
    factors: tuple[Factor, ...]
    findings: tuple[Finding, ...]
    """All of them, best first."""
    threshold: float | None
    """A condition is flagged when its screen score is above this; None where nothing could be scored."""
    n_conditions: int
    n_tasks: int
    shares: Shares
    pairs: Mapping[str, Pair]
    """Finding id -> its minimal pair, for the best findings that have one."""
    missing: tuple[Missing, ...]


def read_evidence(database: Path) -> Evidence:
    """Read what the report needs from `database`."""
    with querying(database) as query:
        facts = read_facts(query, database)
        factors = read_factors(query)
        findings = read_findings(query)
        threshold = facts["threshold"]
        n_conditions, n_tasks = query("SELECT count(*), count(DISTINCT task) FROM conditions")[0]
        return Evidence(
            facts=facts,
            factors=factors,
            findings=findings,
            threshold=threshold,
            n_conditions=n_conditions,
            n_tasks=n_tasks,
            shares=read_shares(query, factors, findings, threshold=threshold),
            pairs=_pairs(query, factors, findings),
            missing=_missing(query),
        )


def _pairs(query: Query, factors: tuple[Factor, ...], findings: tuple[Finding, ...]) -> dict[str, Pair]:
    names = [factor.name for factor in factors]
    pairs = {}
    for finding in findings[:PAIRS]:
        inside, outside, factor = finding.pair_inside, finding.pair_outside, finding.pair_factor
        if inside is not None and outside is not None and factor is not None:
            pairs[finding.id] = read_pair(query, inside=inside, outside=outside, factor=factor, factors=names)
    return pairs


def _missing(query: Query) -> tuple[Missing, ...]:
    rows = query(
        """
        SELECT 'screen score' AS what, reason, count(*) AS n FROM screen WHERE score IS NULL GROUP BY ALL
        UNION ALL
        SELECT distance, reason, count(*) FROM divergences WHERE value IS NULL GROUP BY ALL
        UNION ALL
        SELECT side || ' answers', 'tool-call markup that is no valid call', count(*)
        FROM completions WHERE parse = 'failed' GROUP BY side
        UNION ALL
        SELECT side || ' answers', 'cut at the token limit', count(*)
        FROM completions WHERE finish_reason = 'length' GROUP BY side
        ORDER BY n DESC, what, reason LIMIT 60
        """
    )
    return tuple(Missing(*row) for row in rows)
