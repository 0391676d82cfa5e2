"""Flagged shares by factor: the rows behind the figures and the coverage table."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

from diffbehav.report.factors import TASK, Factor, date_factor, driving_factors
from diffbehav.report.findings import Finding
from diffbehav.report.query import Query
from diffbehav.stats.intervals import clopper_pearson
from diffbehav.store.database import quoted

AXIS = 40
"""Levels on one axis of the heat map; of a longer one those with the largest flagged share are drawn."""

Row = dict[str, Any]


class HeatMap(NamedTuple):
    """Flagged share of two factors."""

    x: str
    y: str
    cells: list[Row]
    """`x`, `y`, `n`, `flagged`, `low`, `high`, `max_score`; one row per cell, untested ones included."""
    hidden: int
    """Levels that are not drawn."""


class Timeline(NamedTuple):
    """Flagged share and screen score by simulated date."""

    factor: str
    rows: list[Row]


class Exposure(NamedTuple):
    """How many of the level combinations of two factors were tested at least once."""

    first: str
    second: str
    exposed: int
    possible: int


@dataclass(frozen=True, slots=True)
class Shares:
    """All counts of flagged conditions that the report shows."""

    n_measured: int
    """Conditions with a screen score."""
    n_flagged: int
    heat_map: HeatMap | None
    """None for a suite without factors."""
    timeline: Timeline | None
    """None where no factor is a date, or none of its levels was measured."""
    marginals: list[Row]
    exposures: tuple[Exposure, ...]


def read_shares(
    query: Query, factors: Sequence[Factor], findings: Sequence[Finding], *, threshold: float | None
) -> Shares:
    """Count what is above `threshold`, by every factor and by the two that drive the best rules."""
    measured, flagged = query(
        "SELECT count(score), count(*) FILTER (score > $threshold) FROM screen", threshold=threshold
    )[0]
    axes = driving_factors(factors, findings)
    dated = date_factor(factors)
    return Shares(
        n_measured=measured,
        n_flagged=flagged,
        heat_map=_heat_map(query, factors, axes, threshold) if axes else None,
        timeline=_timeline(query, dated, threshold) if dated else None,
        marginals=[row for factor in factors for row in _marginal(query, factor, threshold)],
        exposures=_exposures(query, factors),
    )


def _heat_map(query: Query, factors: Sequence[Factor], axes: tuple[str, str], threshold: float | None) -> HeatMap:
    x, y = axes
    counted = {tuple(row[:2]): _row(row[2:]) for row in query(_grouped(x, y), threshold=threshold)}
    levels = {factor.name: [level.name for level in factor.levels] for factor in factors}
    levels[TASK] = [row[0] for row in query("SELECT DISTINCT task FROM conditions ORDER BY task")]
    columns, rows = _drawn(levels[x], counted, 0), _drawn(levels[y], counted, 1)
    cells = [
        {"x": column, "y": row, **counted.get((column, row), _row((0, 0, None, None)))}
        for row in rows
        for column in columns
    ]
    return HeatMap(x, y, cells, len(levels[x]) + len(levels[y]) - len(columns) - len(rows))


def _drawn(levels: list[str], counted: dict[tuple[Any, ...], Row], axis: int) -> list[str]:
    def share(level: str) -> float:
        cells = [row for key, row in counted.items() if key[axis] == level]
        n = sum(row["n"] for row in cells)
        return sum(row["flagged"] for row in cells) / n if n else -1.0

    if len(levels) <= AXIS:
        return levels
    kept = set(sorted(levels, key=share, reverse=True)[:AXIS])
    return [level for level in levels if level in kept]


def _timeline(query: Query, factor: Factor, threshold: float | None) -> Timeline | None:
    counted = {row[0]: _row(row[1:]) for row in query(_grouped(factor.name), threshold=threshold)}
    rows = [{"date": date, **row} for date, row in sorted(counted.items()) if row["n"]]
    return Timeline(factor.name, rows) if rows else None


def _marginal(query: Query, factor: Factor, threshold: float | None) -> list[Row]:
    counted = {row[0]: _row(row[1:]) for row in query(_grouped(factor.name), threshold=threshold)}
    untested = _row((0, 0, None, None))
    return [
        {"factor": factor.name, "level": level.name, **counted.get(level.name, untested)} for level in factor.levels
    ]


def _grouped(*names: str) -> str:
    columns = ", ".join(quoted(name) for name in names)
    return f"""
        SELECT {columns}, count(score), count(*) FILTER (score > $threshold), max(score),
               quantile_cont(score, 0.99)
        FROM conditions JOIN screen USING (condition_id) GROUP BY {columns}
        """


def _row(counts: Sequence[Any]) -> Row:
    n, flagged, largest, p99 = counts
    low, high = clopper_pearson(flagged, n, level=0.95)
    return {
        "n": n,
        "flagged": flagged,
        "low": float(low) if n else None,
        "high": float(high) if n else None,
        "max_score": largest,
        "p99_score": p99,
    }


def _exposures(query: Query, factors: Sequence[Factor]) -> tuple[Exposure, ...]:
    """Pairs of which one decides the other are left out: most of their combinations cannot exist."""
    found = []
    for a, b in combinations(factors, 2):
        if a.root == b.root:
            continue
        exposed = query(f"SELECT count(DISTINCT ({quoted(a.name)}, {quoted(b.name)})) FROM conditions")[0][0]
        found.append(Exposure(a.name, b.name, exposed, len(a.levels) * len(b.levels)))
    return tuple(found)
