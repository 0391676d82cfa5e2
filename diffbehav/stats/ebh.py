"""False discovery rate from e-values: over the rules of one run (e-BH), over the nights (e-LOND)."""

import numpy as np
from numpy.typing import ArrayLike


def ebh(e_values: ArrayLike, *, level: float) -> np.ndarray:
    """bool [K]: the rejected of K null hypotheses (e-BH; Wang and Ramdas, 2022, arXiv 2009.02824).

    Rejected are the k largest e-values, with k the largest for which e_(k) >= K/(k level).

    Promised: of the rejected at most a share `level`, e.g. 0.05, is true on average, whatever the dependence,
    if each e-value has E <= 1 under its null. The value of an e-process at its own stopping time has, its
    running maximum has not. A NaN (nothing was tested) is never rejected and counts as a hypothesis.
    """
    e_K = np.asarray(e_values, dtype=np.float64)
    falling_K = -np.sort(-e_K)
    wall_K = len(e_K) / (level * np.arange(1, len(e_K) + 1))
    wall = np.min(wall_K, where=falling_K >= wall_K, initial=np.inf)
    return np.asarray(e_K >= wall)


def elond(e_values: ArrayLike, *, level: float) -> np.ndarray:
    """bool [T]: the rejected of a stream of null hypotheses, in the order tested (e-LOND; Xu and Ramdas, 2024).

    Hypothesis t is rejected if e_t >= 1/(level gamma_t (D + 1)), with D the rejections before it and
    gamma_t = 1/(t (t + 1)), which sums to 1. No decision depends on later e-values: when the stream has grown,
    the decisions on its beginning are the same.

    Promised: at every t of the rejected so far at most a share `level` is true on average, whatever the
    dependence. A NaN (nothing was tested) is never rejected and uses up its place.
    """
    e_T = np.asarray(e_values, dtype=np.float64)
    rejected_T = np.zeros(len(e_T), dtype=bool)
    for place, e in enumerate(e_T):
        gamma = 1.0 / ((place + 1) * (place + 2))
        rejected_T[place] = e >= 1.0 / (level * gamma * (np.count_nonzero(rejected_T) + 1))
    return rejected_T
