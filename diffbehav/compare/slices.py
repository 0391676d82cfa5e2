"""What came out of every condition, and its counts for every level and pair of levels, counted in the database."""

from collections.abc import Sequence
from itertools import combinations

import polars as pl

from diffbehav.store import Builder, quoted

COUNTS = {
    "n": "count(flagged)",
    "n_flagged": "count(*) FILTER (flagged)",
    "max_score": "max(score)",
    "n_answered": "count(calls_differ)",
    "n_calls": "count(*) FILTER (calls_differ)",
    "n_text": "count(*) FILTER (text_differs)",
    "n_replicated": "count(replicate_calls_differ)",
    "n_replicate_calls": "count(*) FILTER (replicate_calls_differ)",
    "n_replicate_text": "count(*) FILTER (replicate_text_differs)",
}
"""Column of `slices` -> how it is counted, over any selection of `outcomes`."""
P99 = "quantile_cont(score, 0.99)"

def outcomes(
    conditions: pl.DataFrame, scores: pl.DataFrame, acts: pl.DataFrame, *, threshold: float | None
) -> pl.DataFrame:
    """Rows of `outcomes`: `conditions` (condition_id, task, factors) with their screen score and `acts.acts`.

    A condition is flagged when its score is above `threshold`.
    """
    flagged = pl.col("score") > pl.lit(threshold, pl.Float64)
    return (
        conditions.join(scores.select("condition_id", "score"), on="condition_id", maintain_order="left")
        .with_columns(flagged=flagged)
        .join(acts, on="condition_id", how="left", maintain_order="left")
    )


def fill_slices(builder: Builder, factors: Sequence[str], outcomes: pl.DataFrame) -> None:
    """Fill `outcomes` and `slices`."""
    builder.append("outcomes", outcomes)
    axes = ["task", *factors]
    builder.execute("BEGIN TRANSACTION")
    for names in [(), *((name,) for name in axes), *combinations(axes, 2)]:
        builder.execute(_slice(names), **{f"axis_{i}": name for i, name in enumerate(names)})
    builder.execute("COMMIT")


def _slice(names: Sequence[str]) -> str:
    axes = [f"$axis_{i}, {quoted(name)}" for i, name in enumerate(names)] + ["NULL, NULL"] * (2 - len(names))
    p99 = P99 if len(names) < 2 else "NULL"
    grouped = f"GROUP BY {', '.join(map(quoted, names))}" if names else ""
    counted = ", ".join([*axes, "count(*)", *COUNTS.values(), p99])
    return f"INSERT INTO slices SELECT {counted} FROM outcomes {grouped}"
