"""Exact scores under models made of another one: with a payload after its answers, and mixed of two by a coin."""

from collections.abc import Sequence

import numpy as np

from diffbehav.distance.likelihood import LEAST_LOGPROB
from diffbehav.records import Score

PADDING = -1


def appended(own: Score, answer: Sequence[int], payload: Sequence[int], *, ends: Sequence[int]) -> Score:
    """The score of `answer` under the model that writes `payload` where the model of `own` would end its turn.

    It answers as that model does, and moves the probability of the tokens `ends` to the first token of `payload`. The
    further tokens of the payload, and ends[0] behind them, are sure. An answer can hold the payload's tokens by
    chance, so at each token the weight of every place where the payload may have begun is kept. The payload begins
    only where an end is among the most probable tokens of `own`: what is not listed is not known.
    """
    if not len(answer):
        return own
    logprobs_TK = own.top_logprobs_TK.astype(np.float64)
    listed_TK = np.isin(own.top_ids_TK, list(ends))
    ending_T = np.where(listed_TK, np.exp(logprobs_TK), 0.0).sum(axis=1)
    chosen_T = np.exp(own.logprobs_T.astype(np.float64))
    answer_T = np.asarray(answer)
    moved_T = (listed_TK & (own.top_ids_TK == answer_T[:, None])).any(axis=1)
    staying_T = np.where(moved_T, 0.0, chosen_T)
    begins_T = np.where(answer_T == payload[0], ending_T, 0.0)
    logprobs_T = np.where(moved_T, LEAST_LOGPROB, own.logprobs_T.astype(np.float64))
    ids_TK, logprobs_TK = _moved(own.top_ids_TK, logprobs_TK, listed_TK, first=payload[0])
    script = (*payload, ends[0])
    waiting, begun = 1.0, dict[int, float]()
    for t, token in enumerate(answer):
        if not begun and not begins_T[t]:
            continue
        if begun:
            ids_TK[t], logprobs_TK[t] = _beside(ids_TK[t], logprobs_TK[t], script, waiting, begun)
        stays = waiting * staying_T[t]
        goes = {at + 1: share for at, share in begun.items() if at < len(script) and script[at] == token}
        if waiting * begins_T[t] > 0:
            goes[1] = waiting * begins_T[t]
        whole = stays + sum(goes.values())
        logprobs_T[t] = max(np.log(whole), LEAST_LOGPROB) if whole > 0 else LEAST_LOGPROB
        if whole <= 0:
            break
        waiting, begun = stays / whole, {at: share / whole for at, share in goes.items()}
    return _score(logprobs_T, ids_TK, logprobs_TK)


def mixed(first: Score, second: Score, *, rate: float) -> Score:
    """The score of one answer under the model that answers as `first` with chance `rate` and else as `second`.

    The weight of `first` at a token is its probability given the tokens before. A token that only one of the two
    lists counts with that one's share, so it is listed with at least its probability.
    """
    if rate >= 1:
        return first
    one_T, two_T = (np.maximum(each.logprobs_T.astype(np.float64), LEAST_LOGPROB) for each in (first, second))
    odds_T = np.log(rate) - np.log1p(-rate) + np.concatenate([[0.0], np.cumsum(one_T - two_T)[:-1]])[: len(one_T)]
    share_T, rest_T = -np.logaddexp(0.0, -odds_T), -np.logaddexp(0.0, odds_T)
    logprobs_T = np.logaddexp(share_T + one_T, rest_T + two_T)
    ids_TK, logprobs_TK = _both(first, second, share_T, rest_T)
    return _score(logprobs_T, ids_TK, logprobs_TK)


def _moved(
    ids_TK: np.ndarray, logprobs_TK: np.ndarray, listed_TK: np.ndarray, *, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """The lists with the share of the ends given to the token `first`."""
    ids_TK, logprobs_TK = ids_TK.copy(), logprobs_TK.copy()
    for t in np.flatnonzero(listed_TK.any(axis=1)):
        ends = np.flatnonzero(listed_TK[t])
        place = np.flatnonzero(ids_TK[t] == first)
        taking = int(place[0]) if len(place) else int(ends[0])
        share = np.logaddexp.reduce(logprobs_TK[t, np.union1d(ends, place)])
        ids_TK[t, ends], logprobs_TK[t, ends] = PADDING, LEAST_LOGPROB
        ids_TK[t, taking], logprobs_TK[t, taking] = first, share
    return ids_TK, logprobs_TK


def _beside(
    ids_K: np.ndarray, logprobs_K: np.ndarray, script: Sequence[int], waiting: float, begun: dict[int, float]
) -> tuple[np.ndarray, np.ndarray]:
    """One list, beside payloads that have begun and are sure of their next token."""
    share = {int(i): waiting * float(np.exp(each)) for i, each in zip(ids_K, logprobs_K, strict=True) if i != PADDING}
    for at, weight in begun.items():
        if at < len(script):
            share[script[at]] = share.get(script[at], 0.0) + weight
    best = sorted(share.items(), key=lambda each: -each[1])[: len(ids_K)]
    best += [(PADDING, 0.0)] * (len(ids_K) - len(best))
    ids, shares = zip(*best, strict=True)
    return np.array(ids), np.log(np.maximum(shares, np.exp(LEAST_LOGPROB)))


def _both(first: Score, second: Score, share_T: np.ndarray, rest_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The K most probable tokens of the mixture, out of the two lists."""
    one_TK = share_T[:, None] + first.top_logprobs_TK.astype(np.float64)
    two_TK = rest_T[:, None] + second.top_logprobs_TK.astype(np.float64)
    same_TKK = first.top_ids_TK[:, :, None] == second.top_ids_TK[:, None, :]
    same_TKK &= (first.top_ids_TK != PADDING)[:, :, None]
    other_TK = np.where(same_TKK, two_TK[:, None, :], -np.inf).max(axis=2, initial=-np.inf)
    one_TK = np.logaddexp(one_TK, other_TK)
    two_TK = np.where(same_TKK.any(axis=1), -np.inf, two_TK)
    ids_TK, logprobs_TK = (
        np.concatenate(pair, axis=1) for pair in ((first.top_ids_TK, second.top_ids_TK), (one_TK, two_TK))
    )
    logprobs_TK = np.where(ids_TK == PADDING, -np.inf, logprobs_TK)
    best_TK = np.argsort(-logprobs_TK, axis=1, kind="stable")[:, : second.top_ids_TK.shape[1]]
    logprobs_TK = np.take_along_axis(logprobs_TK, best_TK, axis=1)
    ids_TK = np.where(np.isneginf(logprobs_TK), PADDING, np.take_along_axis(ids_TK, best_TK, axis=1))
    return ids_TK, np.maximum(logprobs_TK, LEAST_LOGPROB)


def _score(logprobs_T: np.ndarray, ids_TK: np.ndarray, logprobs_TK: np.ndarray) -> Score:
    order_TK = np.argsort(-logprobs_TK, axis=1, kind="stable")
    return Score(
        np.minimum(logprobs_T, 0.0).astype(np.float32),
        np.take_along_axis(ids_TK, order_TK, axis=1).astype(np.int32),
        np.take_along_axis(logprobs_TK, order_TK, axis=1).astype(np.float32),
    )
