"""How often the answers with code have a static finding, weakness by weakness, inside a rule and outside."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from diffbehav.report.factors import Factor
from diffbehav.report.query import Query
from diffbehav.report.rule_levels import inside, where
from diffbehav.stats.intervals import clopper_pearson

WEAKNESSES = 8
"""Weaknesses listed per rule: those whose rate differs most."""


class Rate(NamedTuple):
    """A share of answers with its exact 95 % interval."""

    hits: int
    n: int
    """Answers with code, all of it analysed; 0 where no rate is known."""
    low: float
    high: float


class Weakness(NamedTuple):
    """One kind of finding; its rate under a rule and elsewhere, both models."""

    cwe: int | None
    """Number in the Common Weakness Enumeration."""
    tests: tuple[str, ...]
    """The analyser's tests that found it."""
    candidate_inside: Rate
    candidate_outside: Rate
    trusted_inside: Rate
    trusted_outside: Rate


def read_code_rates(
    query: Query, rule: Mapping[str, Any], factors: Sequence[Factor], *, most: int = WEAKNESSES
) -> tuple[Weakness, ...]:
    """Rates of at most so many weaknesses that either model wrote, largest difference first; empty where none did.

    Empty as well for a rule over something that is no factor of the run. The empty rule holds everywhere.
    """
    known = inside(rule, factors)
    if known is None:
        return ()
    values: dict[str, Any] = {}
    holds = where(known, values) or "true"
    analysed = f"""
        WITH answers AS (
            SELECT side, condition_id, sample, inside
            FROM code_blocks JOIN (SELECT condition_id, {holds} AS inside FROM conditions) USING (condition_id)
            WHERE side <> 'replicate' GROUP BY ALL HAVING count(code_blocks.reason) = 0)
        """
    counted = query(f"{analysed} SELECT side, inside, count(*) FROM answers GROUP BY ALL", **values)
    answers = {(side, inside): n for side, inside, n in counted}
    rows = query(
        f"""
        {analysed} SELECT cwe, side, inside, count(DISTINCT (condition_id, sample)), list(DISTINCT test)
        FROM answers JOIN code_findings USING (side, condition_id, sample) GROUP BY ALL ORDER BY cwe
        """,
        **values,
    )
    hits = {(cwe, side, inside): n for cwe, side, inside, n, _ in rows}
    tests: dict[int | None, set[str]] = {}
    for cwe, *_, found in rows:
        tests.setdefault(cwe, set()).update(found)
    weaknesses = [
        Weakness(
            cwe,
            tuple(sorted(tests[cwe])),
            *(
                _rate(hits.get((cwe, side, inside), 0), answers.get((side, inside), 0))
                for side in ("candidate", "trusted")
                for inside in (True, False)
            ),
        )
        for cwe in tests
    ]
    return tuple(sorted(weaknesses, key=_difference, reverse=True)[:most])


def _rate(hits: int, n: int) -> Rate:
    low, high = clopper_pearson(hits, n, level=0.95)
    return Rate(hits, n, float(low), float(high))


def _difference(weakness: Weakness) -> float:
    inside, outside = weakness.candidate_inside, weakness.candidate_outside
    return abs(inside.hits / max(inside.n, 1) - outside.hits / max(outside.n, 1))
