"""From values per sample to one row per condition and distance, a value or a reason."""

from collections.abc import Collection, Iterator

import polars as pl

from diffbehav.compare.distances import DISTANCES, WORLD_DISTANCES
from diffbehav.compare.outputs import NO_ANSWER
from diffbehav.distance.measured import Measured

NOT_COLLECTED = "not collected yet"
AT_ONCE = 10_000
"""Conditions without answers whose rows are in memory together: each has one per distance."""
DIVERGENCES = {"condition_id": pl.String, "distance": pl.String, "value": pl.Float64, "reason": pl.String}


def divergences(keys: pl.DataFrame, values: dict[str, Measured]) -> pl.DataFrame:
    """Rows of `divergences`: the samples of a condition aggregated as DISTANCES says, missing ones left out.

    A condition whose samples are all missing has the reason of its first sample.
    """
    return pl.concat(
        _one(name, keys, measured, (DISTANCES | WORLD_DISTANCES)[name].aggregate) for name, measured in values.items()
    )


def completed(rows: pl.DataFrame, conditions: pl.Series, *, distances: Collection[str]) -> pl.DataFrame:
    """`rows` of `divergences` and one more for each of `conditions` and `distances` that has none."""
    missing = _without_value(conditions, distances, NO_ANSWER)
    return pl.concat([rows, missing.join(rows, on=["condition_id", "distance"], how="anti", maintain_order="left")])


def uncollected(conditions: pl.Series, *, distances: Collection[str]) -> Iterator[pl.DataFrame]:
    """Rows of `divergences` for conditions that have no answers yet, of AT_ONCE conditions at a time."""
    for start in range(0, conditions.len(), AT_ONCE):
        yield _without_value(conditions.slice(start, AT_ONCE), distances, NOT_COLLECTED)


def _without_value(conditions: pl.Series, distances: Collection[str], reason: str) -> pl.DataFrame:
    return (
        pl.DataFrame({"condition_id": conditions})
        .join(pl.DataFrame({"distance": list(distances)}), how="cross")
        .with_columns(value=pl.lit(None, pl.Float64), reason=pl.lit(reason))
    )


def _one(name: str, keys: pl.DataFrame, measured: Measured, aggregate: str) -> pl.DataFrame:
    value, reason = pl.col("value"), pl.col("reason")
    return (
        keys.select("condition_id")
        .with_columns(
            value=pl.Series(measured.value_N, nan_to_null=True), reason=pl.Series(measured.reason_N, dtype=pl.String)
        )
        .group_by("condition_id", maintain_order=True)
        .agg(getattr(value, aggregate)(), reason.filter(value.is_null()).first())
        .select(
            "condition_id",
            pl.lit(name).alias("distance"),
            "value",
            pl.when(value.is_null()).then(reason).alias("reason"),
        )
    )
