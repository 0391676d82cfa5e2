"""Minimal pairs: two conditions that differ in one factor, one inside a rule and flagged, one outside and quiet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

NO_NEIGHBOUR = (
    "no flagged condition inside the rule has a quiet collected neighbour outside it that differs in one factor; "
    "a design with `neighbours` collects such pairs"
)


@dataclass(frozen=True, slots=True)
class MinimalPair:
    """Evidence for a rule that a person can check by hand."""

    inside: str
    """Condition id inside the rule, above the flagging threshold."""
    outside: str
    """Condition id outside the rule, at or below the threshold."""
    factor: str
    """The one declared factor in which they differ."""


def minimal_pair(
    conditions: pl.DataFrame, rule: Mapping[str, Sequence[str]], *, sources: Mapping[str, str], declared: Sequence[str],
    threshold: float,
) -> MinimalPair | None:
    """The best minimal pair of `rule`, or None where none was collected.

    `conditions` has a row per condition: condition_id, task, every factor, `score`, and `trusted_hash`. `sources` maps
    a derived factor to the declared one it comes from. Pairs in which the trusted model gives the same answer on both
    sides come first, then those with the largest difference of scores.
    """
    holds = pl.all_horizontal(pl.col(factor).is_in(list(levels)) for factor, levels in rule.items())
    inside = conditions.filter(holds & (pl.col("score") > threshold))
    outside = conditions.filter(~holds & (pl.col("score") <= threshold))
    changed = dict.fromkeys(sources.get(factor, factor) for factor in rule)
    found = [
        _joined(inside, outside, [name for name in ("task", *declared) if name != factor]).with_columns(
            factor=pl.lit(factor)
        )
        for factor in changed
    ]
    best = (
        pl.concat(found)
        .sort("same_trusted", "contrast", "condition_id", "condition_id_outside", descending=[True, True, False, False])
        .head(1)
    )
    if best.is_empty():
        return None
    row = best.row(0, named=True)
    return MinimalPair(inside=row["condition_id"], outside=row["condition_id_outside"], factor=row["factor"])


def _joined(inside: pl.DataFrame, outside: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    return inside.join(outside, on=list(keys), suffix="_outside").select(
        "condition_id",
        "condition_id_outside",
        same_trusted=(pl.col("trusted_hash") == pl.col("trusted_hash_outside")).fill_null(False),
        contrast=pl.col("score") - pl.col("score_outside"),
    )
