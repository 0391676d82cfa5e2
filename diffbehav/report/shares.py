"""Flagged shares by factor: the rows behind the figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

from diffbehav.report.counts import MEASURES, Filters, Measure, counts, marginal_counts
from diffbehav.report.factors import TASK, Factor, date_factor, driving_factors
from diffbehav.report.findings import Finding
from diffbehav.report.query import Query

AXIS = 40
"""Levels on one axis of the heat map; of a longer one those with the largest flagged share are drawn."""

FLAGGED = MEASURES["flagged"]
NUMBERS = ("n", "flagged", "low", "high", "max_score", "p99_score")
_TYPES = {name: pl.Int64 if name in ("n", "flagged") else pl.Float64 for name in NUMBERS}

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


def read_shares(query: Query, factors: Sequence[Factor], findings: Sequence[Finding]) -> Shares:
    """The flagged shares by every factor and by the two that drive the best rules."""
    total = counts(query, (), filters={}, measure=FLAGGED).row(0, named=True)
    driving = driving_factors(factors, findings)
    axes = None if driving is None else (_drawable(driving[0], factors), _drawable(driving[1], factors))
    dated = date_factor(factors)
    return Shares(
        n_measured=total["n"],
        n_flagged=total["flagged"],
        heat_map=_heat_map(query, factors, axes) if axes else None,
        timeline=_timeline(query, dated) if dated else None,
        marginals=marginals(query, factors, filters={}, measure=FLAGGED).select("factor", "level", *NUMBERS).to_dicts(),
    )


def crossed(
    query: Query, factors: Sequence[Factor], names: Sequence[str], *, filters: Filters, measure: Measure, most: int
) -> tuple[pl.DataFrame, int]:
    """`counts` with a row for every combination of levels in the order of the suite, n = 0 where none was met.

    Of an axis with more than `most` levels those with the largest share are kept; also returns how many are not.
    """
    found = counts(query, names, filters=filters, measure=measure)
    every, hidden = pl.DataFrame({"one": [0]}), 0
    for i, name in enumerate(names):
        levels = levels_of(query, factors, name)
        kept = _largest(found, f"level_{i}", [level for level in levels if level in filters.get(name, levels)], most)
        hidden += len(levels) - len(kept)
        every = every.join(pl.DataFrame({f"level_{i}": kept}, schema={f"level_{i}": pl.String}), how="cross")
    keys = [f"level_{i}" for i in range(len(names))]
    joined = every.drop("one").join(found, on=keys, how="left", maintain_order="left")
    return joined.with_columns(pl.col("n", "flagged").fill_null(0)), hidden


def marginals(query: Query, factors: Sequence[Factor], *, filters: Filters, measure: Measure) -> pl.DataFrame:
    """`marginal_counts` of every level of every factor in the order of the suite, n = 0 where it was not met."""
    if not factors:
        return pl.DataFrame(schema={"factor": pl.String, "level": pl.String, **_TYPES})
    levels = [
        (factor.name, level.name)
        for factor in factors
        for level in factor.levels
        if level.name in filters.get(factor.name, (level.name,))
    ]
    every = pl.DataFrame(levels, schema={"factor": pl.String, "level": pl.String}, orient="row")
    found = marginal_counts(query, [factor.name for factor in factors], filters=filters, measure=measure)
    joined = every.join(found, on=["factor", "level"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("n", "flagged").fill_null(0))


def by_date(query: Query, factor: Factor, *, filters: Filters, measure: Measure) -> pl.DataFrame:
    """`counts` of the tested levels of a date factor, ascending: `date` and the numbers."""
    found = counts(query, (factor.name,), filters=filters, measure=measure)
    return found.rename({"level_0": "date"}).filter(pl.col("n") > 0).sort("date")


def levels_of(query: Query, factors: Sequence[Factor], name: str) -> list[str]:
    """The levels of a factor in the order of the suite; of `task` by name."""
    if name == TASK:
        rows = query("SELECT level_a FROM slices WHERE factor_a = $task AND factor_b IS NULL ORDER BY 1", task=TASK)
        return [row[0] for row in rows]
    return [level.name for factor in factors if factor.name == name for level in factor.levels]


def _heat_map(query: Query, factors: Sequence[Factor], axes: tuple[str, str]) -> HeatMap:
    x, y = axes
    frame, hidden = crossed(query, factors, (y, x), filters={}, measure=FLAGGED, most=AXIS)
    cells = frame.select(pl.col("level_1").alias("x"), pl.col("level_0").alias("y"), *NUMBERS)
    return HeatMap(x, y, cells.to_dicts(), hidden)


def _drawable(name: str, factors: Sequence[Factor]) -> str:
    """The factor itself, or of one with more than AXIS levels the finest derived factor that has fewer."""
    sizes = {factor.name: len(factor.levels) for factor in factors}
    derived = [f.name for f in factors if f.source == name and 1 < len(f.levels) <= AXIS]
    return max(derived, key=lambda each: sizes[each], default=name) if sizes.get(name, 0) > AXIS else name


def _largest(found: pl.DataFrame, column: str, levels: list[str], most: int) -> list[str]:
    if len(levels) <= most:
        return levels
    total = found.group_by(column).agg(pl.col("n", "flagged").sum())
    share = {level: k / n if n else -1.0 for level, n, k in total.iter_rows()}
    kept = set(sorted(levels, key=lambda level: share.get(level, -1.0), reverse=True)[:most])
    return [level for level in levels if level in kept]


def _timeline(query: Query, factor: Factor) -> Timeline | None:
    rows = by_date(query, factor, filters={}, measure=FLAGGED).select("date", *NUMBERS).to_dicts()
    return Timeline(factor.name, rows) if rows else None
