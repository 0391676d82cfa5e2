"""The distance `mismatch` of the answers of a batch, from the trusted model's scores of both sides' answers."""

from typing import NamedTuple

import numpy as np
import polars as pl

from diffbehav.compare.load import Batch
from diffbehav.compare.outputs import NO_ANSWER, UNPARSED
from diffbehav.compare.ragged import flat
from diffbehav.compare.turns import EPISODE
from diffbehav.distance.measured import Measured
from diffbehav.distance.mismatch import NO_SPLIT, calls_logprob, mismatch

NO_TEXT = "the candidate writes no text that calls could belie"


class Mismatched(NamedTuple):
    """The distance of each answer that both sides gave."""

    keys: pl.DataFrame
    """condition_id, sample: one row per value."""
    values: dict[str, Measured]


def token_bytes(vocabulary: pl.DataFrame) -> np.ndarray:
    """int64 [V]: UTF-8 length of each token of the vocabulary (token_id, text); 0 for ids that it does not have.

    The last entry, always 0, stands for the ids beyond the vocabulary: embeddings are often padded.
    """
    ids = vocabulary["token_id"].to_numpy()
    bytes_V = np.zeros(ids.max(initial=0) + 2, dtype=np.int64)
    bytes_V[ids] = vocabulary["text"].str.len_bytes().to_numpy()
    return bytes_V


def mismatched(batch: Batch, bytes_V: np.ndarray) -> Mismatched:
    """Measure the first turn of each answer that both sides gave; `bytes_V` comes from `token_bytes`.

    In an episode the later turns of the two sides answer different conversations.
    """
    scored = [_scored(frame, batch.completions, side) for side, frame in _frames(batch).items()]
    paired = scored[0].select(EPISODE).join(scored[1].select(EPISODE), on=EPISODE, maintain_order="left")
    sides = [paired.join(frame, on=EPISODE, maintain_order="left") for frame in scored]
    candidate, trusted = (_calls_logprob(frame, bytes_V) for frame in sides)
    silent_N = (sides[0]["content"].str.strip_chars() == "").to_numpy()
    candidate.value_N[silent_N] = np.nan
    candidate.reason_N[silent_N] = NO_TEXT
    return Mismatched(paired, {"mismatch": mismatch(candidate, trusted)})


def _frames(batch: Batch) -> dict[str, pl.DataFrame]:
    return {"candidate": batch.on_candidate, "trusted": batch.on_trusted}


def _scored(frame: pl.DataFrame, completions: pl.DataFrame, side: str) -> pl.DataFrame:
    """The first turns of one side, with what was written and the trusted model's score of it."""
    written = completions.filter((pl.col("side") == side) & (pl.col("turn") == 0))
    first = frame.filter(pl.col("turn") == 0)
    return first.join(
        written.select(*EPISODE, "text", "content", "parse", "finish_reason"), on=EPISODE, maintain_order="left"
    )


def _calls_logprob(frame: pl.DataFrame, bytes_V: np.ndarray) -> Measured:
    """log B(calls | text) of the answers of `frame`, with a reason where it is missing."""
    reason_N = frame.select(
        pl.when(pl.col("logprobs_trusted").is_null())
        .then(pl.col("reason_trusted").fill_null(pl.lit(NO_ANSWER)))
        .when(pl.col("parse") == "failed")
        .then(pl.lit(UNPARSED))
        .when(~pl.col("text").str.starts_with(pl.col("content")))
        .then(pl.lit(NO_SPLIT))
        .otherwise(pl.lit(""))
    ).to_series()
    known = frame.filter(reason_N == "")
    tokens_M, offsets_N1 = flat(known["token_ids"])
    bytes_M = bytes_V[np.minimum(tokens_M, len(bytes_V) - 1)]
    # The token that ends a turn is no part of the text.
    ended_N = (known["finish_reason"] == "stop").to_numpy() & (np.diff(offsets_N1) > 0)
    bytes_M[offsets_N1[1:][ended_N] - 1] = 0
    found = calls_logprob(
        flat(known["logprobs_trusted"])[0], bytes_M, offsets_N1=offsets_N1,
        text_bytes_N=known["content"].str.len_bytes().to_numpy().astype(np.int64),
        answer_bytes_N=known["text"].str.len_bytes().to_numpy().astype(np.int64),
    )  # fmt: skip
    value_N, all_N = np.full(frame.height, np.nan), reason_N.to_numpy().astype(object)
    where = (reason_N == "").to_numpy()
    value_N[where], all_N[where] = found
    return Measured(value_N, all_N)
