"""Bounds on the distance of two next-token distributions from the K most probable tokens of each side.

S is the set of tokens whose probability is known on both sides: the shared part of the two top-K lists and
the chosen token. The rest of each side is one bucket, p_R = 1 - sum_S p and q_R likewise. Merging tokens can
only lower an f-divergence (data processing inequality), which gives the lower bounds; with w the bucket's own
JSD share,

    TV  <= TV_lower + min(p_R, q_R)
    H^2 <= H^2_lower + sqrt(p_R q_R)
    JSD <= JSD_lower - w + (p_R + q_R) ln 2 / 2

KL has no finite upper bound from a top-K list; its lower bound comes with both tail masses. Every sum is
written in terms that are at least 0 each, so rounding in float32 log-probabilities cannot make a distance
negative, and equal sides give a lower bound of exactly 0. What float32 does to 1 - sum_S p limits the bounds
to about 1e-6 (KL 1e-5).
"""

from typing import NamedTuple

import numpy as np

from diffbehav.distance.likelihood import LEAST_LOGPROB
from diffbehav.distance.measured import Measured
from diffbehav.distance.ragged import fold

LEAST_REST = 1e-12
"""Probability mass of a rest bucket at least."""
NEVER_DIVERGENT = "no position exceeds tau"
LN2 = float(np.log(2.0))
CHUNK = 4096
"""Positions worked on at once: the arrays of one chunk stay in the processor's cache."""


class TopK(NamedTuple):
    """One side's next-token distribution at M positions; K may differ between the sides."""

    ids_MK: np.ndarray
    """int32 [M, K]; a negative id is padding."""
    logprobs_MK: np.ndarray
    """float32 [M, K], nats."""
    chosen_logprobs_M: np.ndarray
    """float32 [M], nats: log-probability of the token the answer has there, in the top K or not."""


class TokenBounds(NamedTuple):
    """Bounds on the distance of the two next-token distributions at M positions, float64 [M] each."""

    tv_lower_M: np.ndarray
    """Total variation, 0 = alike, 1 = disjoint."""
    tv_upper_M: np.ndarray
    hellinger2_lower_M: np.ndarray
    """Squared Hellinger distance 1 - sum sqrt(pq), 0 = alike, 1 = disjoint."""
    hellinger2_upper_M: np.ndarray
    jsd_lower_M: np.ndarray
    """Jensen-Shannon divergence in nats, 0 = alike, ln 2 = disjoint."""
    jsd_upper_M: np.ndarray
    kl_lower_M: np.ndarray
    """KL(candidate || trusted) in nats, 0 = alike, no upper end."""
    rest_candidate_M: np.ndarray
    """p_R: candidate's mass outside S."""
    rest_trusted_M: np.ndarray
    """q_R: trusted model's mass outside S."""


def token_bounds(candidate: TopK, trusted: TopK, *, chosen_M: np.ndarray) -> TokenBounds:
    """Two-sided bounds per position; `chosen_M` int32 [M] has the ids of the tokens of the answer."""
    if not len(chosen_M) == len(candidate.ids_MK) == len(trusted.ids_MK):
        raise ValueError(
            f"{len(chosen_M)} tokens with {len(candidate.ids_MK)} candidate and {len(trusted.ids_MK)} "
            "trusted positions: both sides must score the same tokens"
        )
    bounds = np.empty((len(TokenBounds._fields), len(chosen_M)))
    for start in range(0, len(chosen_M), CHUNK):
        part = slice(start, start + CHUNK)
        lp_SB, lq_SB = _known(_columns(candidate, part), _columns(trusted, part), chosen_M[part])
        bounds[:, part] = _bounds(lp_SB, lq_SB)
    return TokenBounds(*bounds)


def kl_rao_blackwell_lower(bounds: TokenBounds, *, offsets_N1: np.ndarray) -> Measured:
    """Sum over the positions of the lower bound of KL(candidate || trusted), nats.

    On the candidate's answers at temperature 1 this is a lower bound of the Rao-Blackwell estimate of the
    sequence KL (Amini, Vieira and Cotterell, 2025, arXiv 2504.10637).
    """
    return fold(np.add, bounds.kl_lower_M, offsets_N1)


def jsd_max_lower(bounds: TokenBounds, *, offsets_N1: np.ndarray) -> Measured:
    """Largest lower bound of the JSD over the positions, in [0, ln 2] nats."""
    return fold(np.maximum, bounds.jsd_lower_M, offsets_N1)


def jsd_max_upper(bounds: TokenBounds, *, offsets_N1: np.ndarray) -> Measured:
    """Largest upper bound of the JSD over the positions, in [0, ln 2] nats: no position lies above it."""
    return fold(np.maximum, bounds.jsd_upper_M, offsets_N1)


def tv_max_lower(bounds: TokenBounds, *, offsets_N1: np.ndarray) -> Measured:
    """Largest lower bound of the total variation over the positions, in [0, 1]."""
    return fold(np.maximum, bounds.tv_lower_M, offsets_N1)


def tv_max_upper(bounds: TokenBounds, *, offsets_N1: np.ndarray) -> Measured:
    """Largest upper bound of the total variation over the positions, in [0, 1]: no position lies above it."""
    return fold(np.maximum, bounds.tv_upper_M, offsets_N1)


def first_divergent_token(bounds: TokenBounds, *, offsets_N1: np.ndarray, tau: float) -> Measured:
    """First position, counted from 0 in its answer, with a lower bound of the JSD above `tau` nats."""
    jsd_M = bounds.jsd_lower_M
    place_M = np.where(jsd_M > tau, np.arange(len(jsd_M)), np.where(np.isnan(jsd_M), np.nan, np.inf))
    place_N, reason_N = fold(np.minimum, place_M, offsets_N1)
    reason_N[np.isposinf(place_N)] = NEVER_DIVERGENT
    place_N[np.isposinf(place_N)] = np.nan
    return Measured(place_N - offsets_N1[:-1], reason_N)


def _columns(side: TopK, part: slice) -> TopK:
    """The positions of `part`, ranks first ([K, B]); log-probabilities in float64, in [LEAST_LOGPROB, 0]."""
    logprobs_KB = side.logprobs_MK[part].T.astype(np.float64, order="C")
    chosen_B = side.chosen_logprobs_M[part].astype(np.float64)
    return TopK(
        np.ascontiguousarray(side.ids_MK[part].T),
        np.clip(logprobs_KB, LEAST_LOGPROB, 0.0, out=logprobs_KB),
        np.clip(chosen_B, LEAST_LOGPROB, 0.0, out=chosen_B),
    )


def _known(candidate: TopK, trusted: TopK, chosen_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sides' log-probabilities on S, [S, B] each: one row per candidate rank, the chosen token last.

    A rank that is not in S has LEAST_LOGPROB on both sides, which adds exactly 0 to every distance. The
    chosen token is struck from the ranks, so it counts once.
    """
    logprobs_KB, known_KB = _aligned(candidate.ids_MK, trusted)
    known_KB &= (candidate.ids_MK != chosen_B) & (candidate.ids_MK >= 0)
    lp_KB = np.where(known_KB, candidate.logprobs_MK, LEAST_LOGPROB)
    lq_KB = np.where(known_KB, logprobs_KB, LEAST_LOGPROB)
    return np.vstack([lp_KB, candidate.chosen_logprobs_M]), np.vstack([lq_KB, trusted.chosen_logprobs_M])


def _aligned(ids_KB: np.ndarray, trusted: TopK) -> tuple[np.ndarray, np.ndarray]:
    """The trusted log-probability of each of the candidate's top tokens, and whether it is known."""
    if ids_KB.shape == trusted.ids_MK.shape:
        known_KB = ids_KB == trusted.ids_MK
        logprobs_KB = trusted.logprobs_MK.copy()
        open_B = np.flatnonzero(~known_KB.all(axis=0))
    else:
        known_KB = np.zeros(ids_KB.shape, dtype=bool)
        logprobs_KB = np.full(ids_KB.shape, LEAST_LOGPROB)
        open_B = np.arange(ids_KB.shape[1])
    if open_B.size:
        ids_KO, known_KO, logprobs_KO = ids_KB[:, open_B], known_KB[:, open_B], logprobs_KB[:, open_B]
        for id_O, logprob_O in zip(trusted.ids_MK[:, open_B], trusted.logprobs_MK[:, open_B], strict=True):
            same_KO = ids_KO == id_O
            np.copyto(logprobs_KO, logprob_O, where=same_KO)
            known_KO |= same_KO
        known_KB[:, open_B], logprobs_KB[:, open_B] = known_KO, logprobs_KO
    return logprobs_KB, known_KB


def _bounds(lp_SB: np.ndarray, lq_SB: np.ndarray) -> tuple[np.ndarray, ...]:
    """The fields of TokenBounds for one chunk of positions."""
    p_SB, q_SB = np.exp(lp_SB), np.exp(lq_SB)
    rest_p_B = np.maximum(1.0 - p_SB.sum(axis=0), LEAST_REST)
    rest_q_B = np.maximum(1.0 - q_SB.sum(axis=0), LEAST_REST)
    log_ratio_RB = np.vstack([lp_SB - lq_SB, np.log(rest_p_B) - np.log(rest_q_B)])
    p_RB, q_RB = np.vstack([p_SB, rest_p_B]), np.vstack([q_SB, rest_q_B])
    gap_RB, sum_RB = p_RB - q_RB, p_RB + q_RB
    tv_B = 0.5 * np.abs(gap_RB).sum(axis=0)
    hellinger2_B = 0.5 * np.square(np.sqrt(p_RB) - np.sqrt(q_RB)).sum(axis=0)
    jsd_RB = _jsd_shares(gap_RB / sum_RB, sum_RB)
    jsd_B = jsd_RB.sum(axis=0)
    kl_B = np.maximum(p_RB * log_ratio_RB - gap_RB, 0.0).sum(axis=0)
    return (
        np.minimum(tv_B, 1.0),
        np.minimum(tv_B + np.minimum(rest_p_B, rest_q_B), 1.0),
        np.minimum(hellinger2_B, 1.0),
        np.minimum(hellinger2_B + np.sqrt(rest_p_B * rest_q_B), 1.0),
        np.minimum(jsd_B, LN2),
        np.minimum(jsd_B - jsd_RB[-1] + sum_RB[-1] * (LN2 / 2), LN2),
        kl_B,
        rest_p_B,
        rest_q_B,
    )


def _jsd_shares(contrast_RB: np.ndarray, sum_RB: np.ndarray) -> np.ndarray:
    """Each token's share of the JSD, 1/2 [p ln(p/m) + q ln(q/m)] with m = (p + q)/2.

    In the contrast u = (p - q)/(p + q) it is (p + q)/4 [(1 + u) ln(1 + u) + (1 - u) ln(1 - u)]: exactly 0 at
    p = q and without cancellation near it.
    """
    edge = 1.0 - np.finfo(np.float64).epsneg
    u_RB = np.clip(contrast_RB, -edge, edge)
    inner_RB = (1.0 + u_RB) * np.log1p(u_RB) + (1.0 - u_RB) * np.log1p(-u_RB)
    return np.asarray(0.25 * sum_RB * np.maximum(inner_RB, 0.0))
