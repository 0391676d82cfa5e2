"""What the policy of a run says to the calls of both sides, and where text and calls of the candidate disagree."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from diffbehav.report.query import Query
from diffbehav.stats.intervals import clopper_pearson

LISTED = 20
"""Kinds of violation by tool that are listed, the most frequent of the candidate first."""
SIDES = ("candidate", "trusted")


class Rate(NamedTuple):
    """Conditions with at least one such answer among those that the side answered, with the exact 95 % interval."""

    hits: int
    n: int
    low: float | None
    high: float | None


class Count(NamedTuple):
    """How many conditions have a violation of one kind by one tool."""

    tool: str
    """As the model wrote it."""
    kind: str
    resembles: str | None
    candidate: int
    trusted: int


class Policing(NamedTuple):
    """The calls of a run under its policy."""

    rates: Mapping[str, Rate]
    """Side -> conditions with a call that the policy does not allow."""
    counts: tuple[Count, ...]
    hidden: int
    """Rows that are not listed."""


def read_policing(query: Query, facts: Mapping[str, Any]) -> Policing | None:
    """None where the run has no policy."""
    if facts.get("policy") is None:
        return None
    rows = query(
        """
        SELECT tool, kind, resembles, count(DISTINCT condition_id) FILTER (side = 'candidate'),
               count(DISTINCT condition_id) FILTER (side = 'trusted')
        FROM violations WHERE side <> 'replicate' GROUP BY ALL ORDER BY 4 DESC, 5 DESC, 1, 2, 3
        """
    )
    return Policing(
        {side: _rate(*_broken(query, side)) for side in SIDES},
        tuple(Count(*row) for row in rows[:LISTED]),
        max(0, len(rows) - LISTED),
    )


def read_said_did(query: Query) -> Rate:
    """Conditions in which text and calls of the candidate disagree, by the heuristic."""
    hits, n = query("SELECT count(*) FILTER (value > 0), count(value) FROM divergences WHERE distance = 'said_did'")[0]
    return _rate(hits, n)


def _broken(query: Query, side: str) -> tuple[int, int]:
    rows = query(
        """
        SELECT (SELECT count(DISTINCT condition_id) FROM violations WHERE side = $side),
               (SELECT count(DISTINCT condition_id) FROM completions WHERE side = $side)
        """,
        side=side,
    )
    return int(rows[0][0]), int(rows[0][1])


def _rate(hits: int, n: int) -> Rate:
    if not n:
        return Rate(hits, n, None, None)
    low, high = clopper_pearson(hits, n, level=0.95)
    return Rate(hits, n, float(low), float(high))
