"""Distances from scores: both models' log-probabilities on the candidate's and on the trusted answers."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from diffbehav.compare.distances import FIRST_DIVERGENCE_NATS
from diffbehav.compare.ragged import flat
from diffbehav.compare.turns import over_turns
from diffbehav.distance import likelihood, topk
from diffbehav.distance.measured import Measured
from diffbehav.errors import IntegrityError

Values = dict[str, Measured]


class Ragged(NamedTuple):
    """The answers that both models scored, flat: N answers, M tokens, K alternatives."""

    rows_N: np.ndarray
    """Positions of these answers in the frame they come from."""
    offsets_N1: np.ndarray
    tokens_M: np.ndarray
    candidate: topk.TopK
    trusted: topk.TopK


def on_candidate_answers(frame: pl.DataFrame, *, floor: float) -> tuple[Values, pl.DataFrame]:
    """Distances per episode of the candidate, in the order of `episode_keys(frame)`, and the span of each turn's scan.

    `floor`: numeric noise of a log-probability, nats.
    """
    scored = ragged(frame)
    own, other = scored.candidate.chosen_logprobs_M, scored.trusted.chosen_logprobs_M
    ratios: dict[str, Any] = {"offsets_N1": scored.offsets_N1, "floor": floor}
    scan = likelihood.llr_scan(own, other, **ratios)
    bounds = topk.token_bounds(scored.candidate, scored.trusted, chosen_M=scored.tokens_M)
    at = {"offsets_N1": scored.offsets_N1}
    values = {
        "llr_scan": Measured(scan.score_N, scan.reason_N),
        "llr_token_max": likelihood.llr_token_max(own, other, **ratios),
        "llr_sequence": likelihood.llr_sequence(own, other, **ratios),
        "kl_rao_blackwell_lower": topk.kl_rao_blackwell_lower(bounds, **at),
        "jsd_max_lower": topk.jsd_max_lower(bounds, **at),
        "jsd_max_upper": topk.jsd_max_upper(bounds, **at),
        "tv_max_lower": topk.tv_max_lower(bounds, **at),
        "tv_max_upper": topk.tv_max_upper(bounds, **at),
        "first_divergent_token": topk.first_divergent_token(bounds, **at, tau=FIRST_DIVERGENCE_NATS),
    }
    spans = frame[scored.rows_N.tolist()].select("condition_id", "sample", "turn").with_columns(
        score=pl.Series(scan.score_N), first_token=pl.Series(scan.first_N), last_token=pl.Series(scan.last_N)
    )
    per_episode = {name: over_turns(name, _over_all(each, frame, scored), frame) for name, each in values.items()}
    return per_episode, spans.filter(pl.col("score").is_not_nan())


def on_trusted_answers(frame: pl.DataFrame, *, floor: float) -> Values:
    """Teacher-forced distances per episode of the trusted model, in the order of `episode_keys(frame)`."""
    scored = ragged(frame)
    bounds = topk.token_bounds(scored.candidate, scored.trusted, chosen_M=scored.tokens_M)
    drop = likelihood.drop(
        scored.candidate.chosen_logprobs_M, scored.trusted.chosen_logprobs_M, offsets_N1=scored.offsets_N1, floor=floor
    )
    values = {
        "tf_drop": drop,
        "tf_jsd_max_lower": topk.jsd_max_lower(bounds, offsets_N1=scored.offsets_N1),
        "tf_jsd_max_upper": topk.jsd_max_upper(bounds, offsets_N1=scored.offsets_N1),
    }
    return {name: over_turns(name, _over_all(each, frame, scored), frame) for name, each in values.items()}


def ragged(frame: pl.DataFrame) -> Ragged:
    """The answers of `frame` that have scores of both models."""
    both = frame["logprobs_candidate"].is_not_null() & frame["logprobs_trusted"].is_not_null()
    rows = np.flatnonzero(both.to_numpy())
    kept = frame[rows.tolist()]
    tokens, offsets = flat(kept["token_ids"])
    return Ragged(rows, offsets, tokens, _side(kept, "candidate", len(tokens)), _side(kept, "trusted", len(tokens)))


def _side(frame: pl.DataFrame, scored_by: str, count: int) -> topk.TopK:
    chosen, _ = flat(frame[f"logprobs_{scored_by}"])
    alternatives = frame[f"k_{scored_by}"].unique().to_list() or [1]
    ids, _ = flat(frame[f"top_ids_{scored_by}"])
    logprobs, _ = flat(frame[f"top_logprobs_{scored_by}"])
    k = alternatives[0]
    if len(alternatives) > 1 or len(chosen) != count or len(ids) != count * k or len(logprobs) != count * k:
        raise IntegrityError(
            f"the scores of the {scored_by} model do not fit the answers: {count} tokens, {len(chosen)} "
            f"log-probabilities, {len(ids)} alternatives of {k}; collect the run again into another folder"
        )
    return topk.TopK(ids.reshape(count, k), logprobs.reshape(count, k), chosen)


def _over_all(measured: Measured, frame: pl.DataFrame, scored: Ragged) -> Measured:
    """`measured` with a row for every answer of `frame`, those without scores included with their reason."""
    value = np.full(frame.height, np.nan)
    value[scored.rows_N] = measured.value_N
    reason = (
        frame.select(pl.coalesce("reason_candidate", "reason_trusted", pl.lit("a model's score is missing")))
        .to_series()
        .to_numpy()
        .astype(object)
    )
    reason[scored.rows_N] = measured.reason_N
    return Measured(value, reason)
