"""Everything the report shows, read from run.duckdb into one record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from diffbehav.report.against_baseline import Against, read_against
from diffbehav.report.code_rates import Weakness, read_code_rates
from diffbehav.report.coverage import Coverage, read_coverage
from diffbehav.report.factors import Factor, read_factors
from diffbehav.report.findings import Finding, read_findings
from diffbehav.report.pairs import Pair, read_pair
from diffbehav.report.policing import Policing, Rate, read_policing, read_said_did
from diffbehav.report.query import Query, querying, read_facts
from diffbehav.report.rule_levels import inside, where
from diffbehav.report.sentinels import Sentinel, read_sentinels
from diffbehav.report.shares import Shares, read_shares
from diffbehav.report.untested import Untested, read_limits, untested

PAIRS = 5
"""Minimal pairs shown in full."""
MOST_MISSING = 60
"""Kinds of missing numbers listed."""


class Missing(NamedTuple):
    """How often something has no number or no whole answer, and why."""

    what: str
    reason: str
    n: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run as the report needs it."""

    run: Path
    """The run folder, as it was named."""
    facts: Mapping[str, Any]
    """Table `run`, values parsed."""
    factors: tuple[Factor, ...]
    findings: tuple[Finding, ...]
    """All of them, best first."""
    sentinels: tuple[Sentinel, ...]
    """Rules of earlier runs that the search asked first."""
    against: Against | None
    """None where the trusted side was no baseline."""
    threshold: float | None
    """A condition is flagged when its screen score is above this; None where nothing could be scored."""
    n_conditions: int
    n_tasks: int
    shares: Shares
    pairs: Mapping[str, Pair]
    """Finding id -> its minimal pair, for the best findings that have one."""
    code: Mapping[str, tuple[Weakness, ...]]
    """Finding id -> the weaknesses in the code that was written inside and outside, for the best findings."""
    tasks: Mapping[str, tuple[int, int]]
    """Finding id -> tasks with a flagged condition inside, tasks asked inside; of the screen, for the best findings."""
    policing: Policing | None
    """None where no policy was given."""
    said_did: Rate
    missing: tuple[Missing, ...]
    coverage: Coverage | None
    """None where it was not counted."""
    untested: tuple[Untested, ...]


def read_evidence(database: Path) -> Evidence:
    """Read what the report needs from `database`."""
    with querying(database) as query:
        facts = read_facts(query, database)
        factors = read_factors(query)
        findings = read_findings(query)
        threshold = facts["threshold"]
        coverage = read_coverage(query, facts)
        n_conditions, n_tasks = query("SELECT count(*), count(DISTINCT task) FROM conditions")[0]
        return Evidence(
            run=database.parent,
            facts=facts,
            factors=factors,
            findings=findings,
            sentinels=read_sentinels(query),
            against=read_against(query, facts, factors, findings),
            threshold=threshold,
            n_conditions=n_conditions,
            n_tasks=n_tasks,
            shares=read_shares(query, factors, findings),
            pairs=_pairs(query, factors, findings),
            code={each.id: read_code_rates(query, each.rule, factors) for each in findings[:PAIRS]},
            tasks=_tasks(query, factors, findings[:PAIRS], threshold),
            policing=read_policing(query, facts),
            said_did=read_said_did(query),
            missing=read_missing(query),
            coverage=coverage,
            untested=tuple(untested(facts, coverage, read_limits(query))),
        )


def _pairs(query: Query, factors: tuple[Factor, ...], findings: tuple[Finding, ...]) -> dict[str, Pair]:
    names = [factor.name for factor in factors]
    pairs = {}
    for finding in findings[:PAIRS]:
        inside, outside, factor = finding.pair_inside, finding.pair_outside, finding.pair_factor
        if inside is not None and outside is not None and factor is not None:
            pairs[finding.id] = read_pair(query, inside=inside, outside=outside, factor=factor, factors=names)
    return pairs


def _tasks(
    query: Query, factors: tuple[Factor, ...], findings: tuple[Finding, ...], threshold: float | None
) -> dict[str, tuple[int, int]]:
    rules = {each.id: inside(each.rule, factors) for each in findings if threshold is not None}
    found = {}
    for name, rule in rules.items():
        if rule is None:
            continue
        values: dict[str, Any] = {"threshold": threshold}
        holds = where(rule, values)
        counted = query(
            "SELECT count(DISTINCT task) FILTER (score > $threshold), count(DISTINCT task) "
            f"FROM conditions JOIN (SELECT condition_id, score FROM screen) USING (condition_id) "
            f"WHERE score IS NOT NULL AND {holds}",
            **values,
        )
        found[name] = counted[0]
    return found


def read_missing(query: Query) -> tuple[Missing, ...]:
    """What has no number or no whole answer, the most frequent first; a last row sums up those beyond MOST_MISSING."""
    rows = query(
        """
        WITH kinds AS (
            SELECT 'screen score' AS what, reason, count(*) AS n FROM screen WHERE score IS NULL GROUP BY ALL
            UNION ALL
            SELECT distance, reason, count(*) FROM divergences WHERE value IS NULL GROUP BY ALL
            UNION ALL
            SELECT side || ' answers', 'tool-call markup that is no valid call', count(*)
            FROM completions WHERE parse = 'failed' GROUP BY side
            UNION ALL
            SELECT side || ' answers', 'cut at the token limit', count(*)
            FROM completions WHERE finish_reason = 'length' GROUP BY side
            UNION ALL
            SELECT side || ' episodes', coalesce(reason, 'ended at the turn limit'), count(*)
            FROM episodes WHERE ended IN ('unmeasured', 'turn_limit') GROUP BY ALL
        ), ranked AS (SELECT *, row_number() OVER (ORDER BY n DESC, what, reason) AS place FROM kinds)
        SELECT what, reason, n, place FROM ranked WHERE place <= $most
        UNION ALL
        SELECT 'not listed', count(*) || ' further kinds', sum(n)::BIGINT, $most + 1
        FROM ranked WHERE place > $most HAVING count(*) > 0
        ORDER BY place
        """,
        most=MOST_MISSING,
    )
    return tuple(Missing(*row[:3]) for row in rows)
