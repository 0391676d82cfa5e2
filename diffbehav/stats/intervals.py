"""Exact binomial intervals and tail probabilities, vectorised."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

DEEP = -600.0
"""Nats. Below it a tail is summed in logarithms, because a plain number runs out at exp(-745)."""


def clopper_pearson(hits: ArrayLike, trials: ArrayLike, *, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Low and high end of the exact interval of a rate, e.g. `level` 0.95 (Clopper and Pearson, 1934).

    Without trials the interval is [0, 1]: nothing is known.
    """
    hits, trials = np.asarray(hits, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    tail = (1.0 - level) / 2.0
    misses = trials - hits
    low = np.where(hits > 0, special.betaincinv(np.maximum(hits, 1.0), misses + 1.0, tail), 0.0)
    high = np.where(misses > 0, special.betaincinv(hits + 1.0, np.maximum(misses, 1.0), 1.0 - tail), 1.0)
    return low, high


def log_tail(hits: ArrayLike, trials: ArrayLike, *, rate: ArrayLike) -> np.ndarray:
    """log P(X >= hits) for X ~ Binomial(trials, rate), in nats: 0 at no hits, finite however deep the tail.

    Equals `scipy.stats.binom.logsf(hits - 1, trials, rate)` where that does not run out of range.
    """
    hits, trials, rate = np.broadcast_arrays(
        np.asarray(hits, dtype=np.float64),
        np.asarray(trials, dtype=np.float64),
        np.asarray(rate, dtype=np.float64),
    )
    with np.errstate(divide="ignore"):
        tail = np.log(special.betainc(np.maximum(hits, 1.0), trials - np.maximum(hits, 1.0) + 1.0, rate))
    tail = np.where(hits > 0, tail, 0.0)
    deep = tail < DEEP
    if deep.any():
        tail[deep] = _deep_log_tail(hits[deep], trials[deep], rate[deep])
    return tail


def _deep_log_tail(hits: np.ndarray, trials: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """log of the first term of the tail plus log of the sum of the terms relative to it, a falling series."""
    first = (
        special.gammaln(trials + 1.0)
        - special.gammaln(hits + 1.0)
        - special.gammaln(trials - hits + 1.0)
        + special.xlogy(hits, rate)
        + special.xlog1py(trials - hits, -rate)
    )
    odds = rate / (1.0 - rate)
    term, total, above = np.ones_like(hits), np.ones_like(hits), hits.copy()
    while (term > 1e-17 * total).any():
        term = term * odds * (trials - above) / (above + 1.0)
        total = total + term
        above = above + 1.0
    return np.asarray(first + np.log(total))
