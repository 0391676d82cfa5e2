"""How much pairs of factors do beyond what each of them does alone: frames from table `slices`."""

from collections.abc import Mapping

import polars as pl

from dashboards.runs import OpenRun
from diffbehav.report.factors import TASK

STRENGTHS = """
    WITH total AS (SELECT n_flagged / n AS share FROM slices WHERE factor_a IS NULL AND n > 0),
    level AS (
        SELECT factor_a AS factor, level_a AS level, n_flagged / n AS share,
               (n_flagged + 1.92 - 1.96 * sqrt(n_flagged * (n - n_flagged) / n + 0.9604)) / (n + 3.8416) AS low
        FROM slices WHERE factor_a IS NOT NULL AND factor_b IS NULL AND n > 0
    ), pair AS (
        SELECT factor_a, level_a, factor_b, level_b,
               (n_flagged + 1.92 - 1.96 * sqrt(n_flagged * (n - n_flagged) / n + 0.9604)) / (n + 3.8416) AS low
        FROM slices WHERE factor_b IS NOT NULL AND n > 0
    ), excess AS (
        SELECT factor AS first, factor AS second, level AS level_first, '' AS level_second, low - total.share AS excess
        FROM level, total
        UNION ALL
        SELECT factor_a, factor_b, level_a, level_b,
               pair.low - least(1, greatest(a.share, b.share, a.share + b.share - total.share))
        FROM pair JOIN level a ON a.factor = factor_a AND a.level = level_a
        JOIN level b ON b.factor = factor_b AND b.level = level_b, total
    )
    SELECT first, second, greatest(0, max(excess)), arg_max(level_first, excess), arg_max(level_second, excess)
    FROM excess GROUP BY first, second
"""
"""The low end of the Wilson interval stands for a share, so that a cell of few conditions proves little."""


def interactions(run: OpenRun) -> pl.DataFrame:
    """A row per ordered pair of axes: `first`, `second`, `strength`, `where`; pairs of one root have no strength."""
    found = {(row[0], row[1]): row[2:] for row in run.query(STRENGTHS)}
    roots = roots_of(run)
    rows = []
    for first in roots:
        for second in roots:
            strength, a, b = found.get((first, second)) or found.get((second, first)) or (None, "", "")
            if first != second and roots[first] == roots[second]:
                strength = None
            if (first, second) not in found:
                a, b = b, a
            where = f"{first} = {a}" + (f", {second} = {b}" if first != second else "")
            rows.append((first, second, strength, where))
    schema = {"first": pl.String, "second": pl.String, "strength": pl.Float64, "where": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def roots_of(run: OpenRun) -> Mapping[str, str]:
    """Axis -> the declared factor that decides it."""
    return {**{factor.name: factor.root for factor in run.factors}, TASK: TASK}


def strongest(run: OpenRun, count: int) -> list[str]:
    """The axes whose levels differ most in their flagged share, one of every root."""
    diagonal = (
        interactions(run).filter(pl.col("first") == pl.col("second")).sort("strength", descending=True, nulls_last=True)
    )
    roots, kept = roots_of(run), dict[str, str]()
    for name in diagonal["first"]:
        kept.setdefault(roots[name], name)
    return list(kept.values())[:count]
