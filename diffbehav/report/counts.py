"""Counts of conditions by level: from table `slices` where that has them, under a filter from table `outcomes`."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from diffbehav.compare.slices import COUNTS, P99
from diffbehav.report.query import Query
from diffbehav.stats.intervals import clopper_pearson
from diffbehav.store import quoted

Filters = Mapping[str, Sequence[str]]
"""Factor or `task` -> the levels of which a condition must have one."""
LEVEL = 0.95


class Measure(NamedTuple):
    """A share of conditions that a chart can show."""

    hits: str
    trials: str
    noise: tuple[str, str] | None
    """The same of the trusted model against its own replicate: hits, trials. None where there is no such thing."""
    verb: str
    """"<verb> 2 of 8"."""
    title: str


MEASURES = {
    "flagged": Measure("n_flagged", "n", None, "flagged", "flagged share"),
    "calls": Measure(
        "n_calls",
        "n_answered",
        ("n_replicate_calls", "n_replicated"),
        "different calls in",
        "share with different calls",
    ),
    "text": Measure(
        "n_text", "n_answered", ("n_replicate_text", "n_replicated"), "different text in", "share with different text"
    ),
}


def counts(query: Query, names: Sequence[str], *, filters: Filters, measure: Measure) -> pl.DataFrame:
    """One row per combination of levels of `names` that was met: level_0, level_1, ..., the numbers of a share.

    `n`, `flagged` (hits of the measure), `low`, `high` (exact 95 % interval; null without trials), `max_score`,
    `p99_score` (null for two names and more without a filter), `noise_n`, `noise_flagged` (null without noise).
    """
    of_slices = not filters and len(names) <= 2
    columns = _columns(measure)
    rows = _of_slices(query, names, columns) if of_slices else _of_outcomes(query, names, columns, filters)
    return _shares(rows, [f"level_{i}" for i in range(len(names))], measure)


def marginal_counts(query: Query, names: Sequence[str], *, filters: Filters, measure: Measure) -> pl.DataFrame:
    """`counts` of each of `names` for itself, all in one pass: `factor`, `level` and the numbers.

    Under a filter `p99_score` is null: a quantile of every level costs more than all else.
    """
    columns = _columns(measure)
    if filters:
        condition, values = where(filters)
        factor = " ".join(f"WHEN grouping({quoted(name)}) = 0 THEN $name_{i}" for i, name in enumerate(names))
        rows = query(
            f"""
            SELECT CASE {factor} END, coalesce({", ".join(map(quoted, names))}), {_counted(columns, p99="NULL")}
            FROM outcomes WHERE {condition} GROUP BY GROUPING SETS ({", ".join(f"({quoted(name)})" for name in names)})
            """,
            **values,
            **{f"name_{i}": name for i, name in enumerate(names)},
        )
    else:
        rows = query(
            f"""
            SELECT factor_a, level_a, {", ".join(columns)} FROM slices
            WHERE list_contains($names, factor_a) AND factor_b IS NULL
            """,
            names=list(names),
        )
    return _shares(rows, ["factor", "level"], measure)


def where(filters: Filters) -> tuple[str, dict[str, list[str]]]:
    """A condition for WHERE and its parameters; factor names must be those of the run."""
    clauses = [f"list_contains($filter_{i}, {quoted(name)})" for i, name in enumerate(filters)]
    values = {f"filter_{i}": list(levels) for i, levels in enumerate(filters.values())}
    return " AND ".join(clauses) or "true", values


def _columns(measure: Measure) -> list[str]:
    """The columns of `slices` that a measure needs."""
    return list(dict.fromkeys([measure.trials, measure.hits, *(measure.noise or ()), "max_score", "p99_score"]))


def _counted(columns: Sequence[str], *, p99: str) -> str:
    return ", ".join((COUNTS | {"p99_score": p99})[name] for name in columns)


def _of_slices(query: Query, names: Sequence[str], needed: Sequence[str]) -> list[tuple[Any, ...]]:
    columns = ", ".join(needed)
    if len(names) < 2:
        factor = "factor_a IS NULL" if not names else "factor_a = $first AND factor_b IS NULL"
        level = "level_a, " if names else ""
        return query(
            f"SELECT {level}{columns} FROM slices WHERE {factor}", **dict(zip(("first",), names, strict=False))
        )
    first, second = names
    return query(
        f"""
        SELECT level_a, level_b, {columns} FROM slices WHERE factor_a = $first AND factor_b = $second
        UNION ALL SELECT level_b, level_a, {columns} FROM slices WHERE factor_a = $second AND factor_b = $first
        """,
        first=first,
        second=second,
    )


def _of_outcomes(
    query: Query, names: Sequence[str], columns: Sequence[str], filters: Filters
) -> list[tuple[Any, ...]]:
    condition, values = where(filters)
    levels = "".join(f"{quoted(name)}, " for name in names)
    grouped = f"GROUP BY {levels.rstrip(', ')}" if names else ""
    counted = _counted(columns, p99=P99 if len(names) < 2 else "NULL")
    return query(f"SELECT {levels}{counted} FROM outcomes WHERE {condition} {grouped}", **values)


def _shares(found: list[tuple[Any, ...]], levels: Sequence[str], measure: Measure) -> pl.DataFrame:
    schema: dict[str, Any] = dict.fromkeys(levels, pl.String)
    schema |= {name: pl.Float64 if name.endswith("score") else pl.Int64 for name in _columns(measure)}
    rows = pl.DataFrame(found, schema=schema, orient="row")
    low, high = clopper_pearson(rows[measure.hits].to_numpy(), rows[measure.trials].to_numpy(), level=LEVEL)
    tested = pl.col(measure.trials) > 0
    noise = measure.noise or (None, None)
    return rows.with_columns(low=pl.Series(low), high=pl.Series(high)).select(
        *levels,
        pl.col(measure.trials).alias("n"),
        pl.col(measure.hits).alias("flagged"),
        pl.when(tested).then("low").alias("low"),
        pl.when(tested).then("high").alias("high"),
        "max_score",
        "p99_score",
        noise_n=pl.lit(None, pl.Int64) if noise[1] is None else pl.col(noise[1]),
        noise_flagged=pl.lit(None, pl.Int64) if noise[0] is None else pl.col(noise[0]),
    )
