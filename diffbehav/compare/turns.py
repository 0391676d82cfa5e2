"""From the turns of an episode to one row per episode. Where one turn was asked for, everything stays what it is."""

import numpy as np
import polars as pl

from diffbehav.distance.measured import Measured

EPISODE = ["condition_id", "sample"]
SUMMED = ("llr_sequence", "kl_rao_blackwell_lower")
"""Distances that add up over the turns: each turn stands on the turns before it."""
OF_FIRST_TURN = ("first_divergent_token",)
"""Distances that speak of a position. All others take the largest of the turns."""


def episode_keys(frame: pl.DataFrame) -> pl.DataFrame:
    """condition_id and sample of every episode in `frame`, a frame of a Batch, in its order."""
    return frame.filter(pl.col("turn") == 0).select(EPISODE)


def over_turns(name: str, measured: Measured, frame: pl.DataFrame) -> Measured:
    """The distance `name` per episode: `measured` has a row per turn of `frame`, sorted as a Batch has them.

    A turn that could not be measured leaves its episode unmeasured, with the reason of the first such turn.
    """
    first_E = np.flatnonzero(frame["turn"].to_numpy() == 0)
    if len(first_E) == frame.height:
        return measured
    if name in OF_FIRST_TURN:
        return Measured(measured.value_N[first_E], measured.reason_N[first_E])
    ufunc = np.add if name in SUMMED else np.maximum
    value_E = ufunc.reduceat(measured.value_N, first_E) if len(first_E) else np.empty(0)
    reason_E = np.full(len(first_E), "", dtype=object)
    missing = np.flatnonzero(np.isnan(measured.value_N))
    episodes, places = np.unique(np.searchsorted(first_E, missing, side="right") - 1, return_index=True)
    reason_E[episodes] = measured.reason_N[missing[places]]
    return Measured(value_E, reason_E)


def whole_answers(completions: pl.DataFrame) -> pl.DataFrame:
    """`completions` with one row per episode: texts, tokens and calls of its turns one after the other.

    `parse` is failed where a turn's is; `finish_reason` is that of the last turn.
    """
    if not (completions["turn"] > 0).any():
        return completions
    parse = pl.col("parse")
    calls = pl.col("calls").str.head(-1).str.tail(-1)
    return (
        completions.sort("turn", maintain_order=True)
        .group_by("side", *EPISODE, maintain_order=True)
        .agg(
            pl.col("turn").first(),
            pl.col("text", "content").str.join("\n"),
            pl.col("token_ids").explode(),
            pl.col("finish_reason").last(),
            pl.when((parse == "failed").any())
            .then(pl.lit("failed"))
            .when((parse == "parsed").any())
            .then(pl.lit("parsed"))
            .otherwise(pl.lit("none"))
            .alias("parse"),
            pl.col("parse_reason").drop_nulls().first(),
            ("[" + calls.filter(calls != "").str.join(", ") + "]").alias("calls"),
        )
    )
