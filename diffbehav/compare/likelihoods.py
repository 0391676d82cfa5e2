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
SUMMARIES = ("tv_lower", "tv_upper", "jsd_lower", "jsd_upper", "kl_lower")
"""Fields of TokenBounds that distances are made of."""


class Ragged(NamedTuple):
    """The answers that both models scored, flat: N answers, M tokens."""

    rows_N: np.ndarray
    """Positions of these answers in the frame they come from."""
    offsets_N1: np.ndarray
    tokens_M: np.ndarray
    candidate_M: np.ndarray
    """float32: the candidate's log-probability of each token, nats."""
    trusted_M: np.ndarray
    bounds: topk.TokenBounds
    """Rounded to float32, as a run that was pruned keeps them; what no distance is made of is NaN."""


def on_candidate_answers(frame: pl.DataFrame, *, floor: float) -> tuple[Values, pl.DataFrame]:
    """Distances per episode of the candidate, in the order of `episode_keys(frame)`, and the span of each turn's scan.

    `floor`: numeric noise of a log-probability, nats.
    """
    scored = ragged(frame)
    own, other, bounds = scored.candidate_M, scored.trusted_M, scored.bounds
    ratios: dict[str, Any] = {"offsets_N1": scored.offsets_N1, "floor": floor}
    scan = likelihood.llr_scan(own, other, **ratios)
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
    at = {"offsets_N1": scored.offsets_N1}
    values = {
        "tf_drop": likelihood.drop(scored.candidate_M, scored.trusted_M, **at, floor=floor),
        "tf_jsd_max_lower": topk.jsd_max_lower(scored.bounds, **at),
        "tf_jsd_max_upper": topk.jsd_max_upper(scored.bounds, **at),
    }
    return {name: over_turns(name, _over_all(each, frame, scored), frame) for name, each in values.items()}


def ragged(frame: pl.DataFrame) -> Ragged:
    """The answers of `frame` that have scores of both models; their bounds from the alternatives, or as stored."""
    both = frame["logprobs_candidate"].is_not_null() & frame["logprobs_trusted"].is_not_null()
    rows = np.flatnonzero(both.to_numpy())
    kept = frame[rows.tolist()]
    tokens, offsets = flat(kept["token_ids"])
    candidate, trusted = (_of_tokens(kept, f"logprobs_{by}", len(tokens)) for by in ("candidate", "trusted"))
    return Ragged(rows, offsets, tokens, candidate, trusted, _bounds(kept, tokens, np.diff(offsets)))


def _bounds(kept: pl.DataFrame, tokens_M: np.ndarray, lengths_N: np.ndarray) -> topk.TokenBounds:
    """Those that were stored where there are any, the others from the alternatives that are still there."""
    none = pl.repeat(False, kept.height, eager=True)
    known = kept[SUMMARIES[0]].is_not_null() if SUMMARIES[0] in kept.columns else none
    known_M = np.repeat(known.to_numpy(), lengths_N)
    found = {name: np.full(len(tokens_M), np.nan) for name in topk.TokenBounds._fields}
    if not known.all():
        open_M = tokens_M[~known_M]
        sides = [_side(kept.filter(~known), by, len(open_M)) for by in ("candidate", "trusted")]
        computed = topk.token_bounds(*sides, chosen_M=open_M)._asdict()
    for name in SUMMARIES:
        if known.any():
            found[f"{name}_M"][known_M] = _of_tokens(kept.filter(known), name, int(known_M.sum()))
        if not known.all():
            found[f"{name}_M"][~known_M] = computed[f"{name}_M"].astype(np.float32)
    return topk.TokenBounds(**found)


def _side(frame: pl.DataFrame, scored_by: str, count: int) -> topk.TopK:
    alternatives = frame[f"k_{scored_by}"].unique().to_list() or [1]
    k = (alternatives[0] or 0) if len(alternatives) == 1 else 0
    ids, logprobs = (_of_tokens(frame, f"{name}_{scored_by}", count * k) for name in ("top_ids", "top_logprobs"))
    chosen = _of_tokens(frame, f"logprobs_{scored_by}", count)
    return topk.TopK(ids.reshape(count, k), logprobs.reshape(count, k), chosen)


def _of_tokens(frame: pl.DataFrame, column: str, count: int) -> np.ndarray:
    values, _ = flat(frame[column])
    if len(values) != count or frame[column].null_count():
        raise IntegrityError(
            f"the scores do not fit the answers: {count} values of {column} were expected and {len(values)} are "
            "there; collect the run again into another folder"
        )
    return values


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
