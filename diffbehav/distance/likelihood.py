"""Log-likelihood ratios of an answer under the two models, d_t = log C(y_t) - log B(y_t), in nats.

C is the candidate, B the trusted model; both read the same prefix. All functions take flat token arrays of M
log-probabilities and the offsets of N answers, and count |d_t| < `floor` as 0: `floor` (nats) is the measured
numeric noise of a log-probability, so that equal models stay at exactly 0.
"""

from typing import NamedTuple

import numpy as np

from diffbehav.distance.measured import Measured, reasons
from diffbehav.distance.ragged import fold, lengths

LEAST_LOGPROB = -700.0
"""Nats. A log-probability below it, minus infinity included, counts as this one: its exp is still above 0."""


class Scan(NamedTuple):
    """The stretch of each answer that speaks most for the candidate; N answers."""

    score_N: np.ndarray
    """float64 [N], nats: 0 where the models agree everywhere, NaN where missing."""
    first_N: np.ndarray
    """int64 [N]: first token of the stretch, counted from 0 in its answer; -1 where missing."""
    last_N: np.ndarray
    """int64 [N]: last token of the stretch, inclusive; -1 where missing."""
    reason_N: np.ndarray
    """object [N] of str: why the score is missing, '' where it was measured."""


def llr_scan(
    candidate_logprobs_M: np.ndarray, trusted_logprobs_M: np.ndarray, *, offsets_N1: np.ndarray, floor: float
) -> Scan:
    """max over s <= e of sum_{t=s..e} d_t (Kadane's algorithm), with the earliest shortest such stretch.

    The stretch is never empty, so an answer of which every token is less likely under the candidate scores
    below 0.
    """
    llr_M = token_llr(candidate_logprobs_M, trusted_logprobs_M, floor=floor)
    lengths_N = lengths(offsets_N1, tokens=len(llr_M))
    order = np.argsort(-lengths_N, kind="stable")
    best, first, last = _kadane(llr_M, starts_N=offsets_N1[:-1][order], lengths_N=lengths_N[order])
    score_N = np.empty(len(order))
    first_N = np.empty(len(order), dtype=np.int64)
    last_N = np.empty(len(order), dtype=np.int64)
    score_N[order], first_N[order], last_N[order] = best, first, last
    missing_N = np.isnan(score_N)
    first_N[missing_N] = last_N[missing_N] = -1
    return Scan(score_N, first_N, last_N, reasons(score_N, lengths_N=lengths_N))


def llr_token_max(
    candidate_logprobs_M: np.ndarray, trusted_logprobs_M: np.ndarray, *, offsets_N1: np.ndarray, floor: float
) -> Measured:
    """max over t of d_t: CleanGen's suspicion ratio as a logarithm (Li et al., 2024, arXiv 2406.12257)."""
    return fold(np.maximum, token_llr(candidate_logprobs_M, trusted_logprobs_M, floor=floor), offsets_N1)


def llr_sequence(
    candidate_logprobs_M: np.ndarray, trusted_logprobs_M: np.ndarray, *, offsets_N1: np.ndarray, floor: float
) -> Measured:
    """sum over t of d_t: on the candidate's answers at temperature 1 a draw of KL(candidate || trusted)."""
    return fold(np.add, token_llr(candidate_logprobs_M, trusted_logprobs_M, floor=floor), offsets_N1)


def drop(
    candidate_logprobs_M: np.ndarray, trusted_logprobs_M: np.ndarray, *, offsets_N1: np.ndarray, floor: float
) -> Measured:
    """max over t of -d_t: how far the candidate falls below the trusted model at one token."""
    return fold(np.maximum, token_llr(trusted_logprobs_M, candidate_logprobs_M, floor=floor), offsets_N1)


def token_llr(candidate_logprobs_M: np.ndarray, trusted_logprobs_M: np.ndarray, *, floor: float) -> np.ndarray:
    """float64 [M]: d_t in nats, 0 where |d_t| < `floor`."""
    if candidate_logprobs_M.shape != trusted_logprobs_M.shape:
        raise ValueError(
            f"log-probabilities of {candidate_logprobs_M.size} candidate and {trusted_logprobs_M.size} trusted "
            "tokens: both sides must score the same tokens"
        )
    llr_M: np.ndarray = np.maximum(candidate_logprobs_M, LEAST_LOGPROB, dtype=np.float64)
    llr_M -= np.maximum(trusted_logprobs_M, LEAST_LOGPROB, dtype=np.float64)
    llr_M[np.abs(llr_M) < floor] = 0.0
    return llr_M


def _kadane(
    llr_M: np.ndarray, *, starts_N: np.ndarray, lengths_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best sum, first and last token per answer, all answers abreast; the lengths must be falling.

    The work is one vector step per token position over the answers that reach it.
    """
    count = len(lengths_N)
    best_N = np.where(lengths_N > 0, -np.inf, np.nan)
    running_N = np.full(count, -np.inf)
    from_N, first_N, last_N = (np.zeros(count, dtype=np.int64) for _ in range(3))
    negative_lengths_N = -lengths_N
    for position in range(int(lengths_N[0]) if count else 0):
        reach = np.searchsorted(negative_lengths_N, -position, side="left")
        running, best = running_N[:reach], best_N[:reach]
        restart = running <= 0
        np.copyto(from_N[:reach], position, where=restart)
        np.copyto(running, 0.0, where=restart)
        running += llr_M[starts_N[:reach] + position]
        better = ~(running <= best)
        np.copyto(best, running, where=better)
        np.copyto(first_N[:reach], from_N[:reach], where=better)
        np.copyto(last_N[:reach], position, where=better)
    return best_N, first_N, last_N
