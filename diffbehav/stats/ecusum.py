"""A standing alarm per level over the nights, against the controls of the same night (e-CUSUM).

Every night t each level has k_t high conditions among n_t. Its null is a rate of at most
p0_t = 1.5 x (rate of high conditions among the controls of that night) + 0.01: a model that drifts as a whole
moves its controls along and raises no alarm. The e-value of a night is the mean over a of
(a/p0)^k ((1 - a)/(1 - p0))^(n - k), with a in 0.08, 0.15, 0.3, 0.5 as far as a > p0.

M_t = max(M_{t-1}, 1) e_t, from M_0 = 1; a level raises the alarm at M_t >= m x ARL, with m levels. CUSUM-style
e-detectors lie below those of Shiryaev and Roberts, so if no level exceeds its null, the mean number of nights
to the first alarm on any of them is at least ARL (Shin, Ramdas and Rinaldo, 2024, arXiv 2203.03532), whatever
the dependence between levels. The promise is exact for known p0_t. As the control rate is estimated it is
approximate; the factor 1.5 and the 0.01 are there to absorb that.
"""

from math import log

import numpy as np
from numpy.typing import ArrayLike

ALTERNATIVES = np.array([0.08, 0.15, 0.3, 0.5])
CONTROL_FACTOR = 1.5
CONTROL_MARGIN = 0.01


def ecusum(log_m_L: np.ndarray, *, hits_L: ArrayLike, trials_L: ArrayLike, null_rate: ArrayLike) -> np.ndarray:
    """float64 [..., L]: log M after one more night, nats; the first night starts from zeros.

    `null_rate` is one number for all levels or one a level. A night without conditions, or with a null rate
    that is NaN or at least 0.5, is no evidence: e = 1.
    """
    return np.asarray(np.maximum(log_m_L, 0.0) + log_night_e_value(hits_L, trials_L, null_rate=null_rate))


def alarms(log_m_L: np.ndarray, *, arl: float) -> np.ndarray:
    """bool [..., L]: the levels with M >= m x ARL; `arl` in nights, e.g. 1095."""
    return np.asarray(log_m_L >= log(log_m_L.shape[-1] * arl))


def same_night_null_rate(control_hits: ArrayLike, control_trials: ArrayLike) -> np.ndarray:
    """p0 = 1.5 x control rate + 0.01, in [0.01, 1.51]; NaN without controls."""
    hits, trials = np.asarray(control_hits, dtype=np.float64), np.asarray(control_trials, dtype=np.float64)
    rate = np.divide(hits, trials, out=np.full(np.broadcast(hits, trials).shape, np.nan), where=trials > 0)
    return np.asarray(CONTROL_FACTOR * rate + CONTROL_MARGIN)


def log_night_e_value(hits: ArrayLike, trials: ArrayLike, *, null_rate: ArrayLike) -> np.ndarray:
    """log e of one night, nats: E e <= 1 at every rate up to the null rate; 0 says nothing."""
    hits_A, trials_A, p0_A = (np.asarray(x, dtype=np.float64)[..., None] for x in (hits, trials, null_rate))
    bets_A = p0_A < ALTERNATIVES
    p0_A = np.minimum(p0_A, ALTERNATIVES)
    log_ratio_A = hits_A * np.log(ALTERNATIVES / p0_A)
    log_ratio_A = log_ratio_A + (trials_A - hits_A) * (np.log1p(-ALTERNATIVES) - np.log1p(-p0_A))
    log_sum = np.logaddexp.reduce(np.where(bets_A, log_ratio_A, -np.inf), axis=-1)
    bets = np.count_nonzero(bets_A, axis=-1)
    return np.where(bets > 0, log_sum - np.log(np.maximum(bets, 1)), 0.0)
