"""Where a sequence of shares changes: optimal partitioning of binomial counts."""

import numpy as np
from scipy.special import xlogy

_LAMBDAS = np.linspace(0.5, 0.98, 49)


def change_points(hits_D: np.ndarray, trials_D: np.ndarray, *, level: float) -> list[int]:
    """The places at which another share begins, ascending; empty where one share explains all.

    The partition of `hits_D` of `trials_D` (int [D], in order) that is cheapest of all: twice the negative binomial
    log-likelihood of its segments and `penalty` for each change (Jackson et al., 2005). Of independent trials of one
    share, a series has any change with a probability of at most `level`. O(D^2).
    """
    hits = np.concatenate([[0.0], np.cumsum(hits_D)])
    trials = np.concatenate([[0.0], np.cumsum(trials_D)])
    price = penalty(len(hits_D), level=level)
    best, last = np.zeros(len(hits)), np.zeros(len(hits), np.int64)
    best[0] = -price
    for end in range(1, len(hits)):
        costs = best[:end] + _cost(hits[end] - hits[:end], trials[end] - trials[:end]) + price
        last[end] = int(np.argmin(costs))
        best[end] = costs[last[end]]
    found, end = list[int](), int(last[-1])
    while end > 0:
        found.append(end)
        end = int(last[end])
    return found[::-1]


def penalty(count: int, *, level: float) -> float:
    """What one change among `count` places must gain, so that one share gives any with probability <= `level`.

    With p the true share, a partition into m + 1 segments gains at most 2 sum n KL(k / n, p) over its segments, and
    P(n KL >= x) <= 2 exp(-x) for each (Chernoff), hence E exp(l n KL) <= c = 2^l / (1 - l) for l < 1. By Markov the
    chance that any of the partitions gains more than m times the penalty b is at most
    c ((1 + c exp(-l b / 2))^(count - 1) - 1), which is `level` for the b returned, at the best l.
    """
    if count < 2:
        return 0.0
    constant = 2.0**_LAMBDAS / (1.0 - _LAMBDAS)
    odds = np.expm1(np.log1p(level / constant) / (count - 1)) / constant
    return float(np.min(-2.0 / _LAMBDAS * np.log(odds)))


def _cost(hits: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Twice the negative log-likelihood at each segment's own share; 0 where it has no trial."""
    return np.asarray(-2.0 * (xlogy(hits, hits) + xlogy(trials - hits, trials - hits) - xlogy(trials, trials)))
