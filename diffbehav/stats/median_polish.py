"""Main effects of factors by medians, and what is left without them (Tukey, 1977)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from diffbehav.stats.standardise import FEWEST_ROWS, FLOOR_SHARE, MATERIAL, NORMAL_MAD, group_medians

SWEEPS = 4


class Polished(NamedTuple):
    """C values as a sum of a task's centre, one effect per factor, and a residual."""

    residual_C: np.ndarray
    effects_F: tuple[np.ndarray, ...]
    """For each factor the effects of its levels, 0 in the middle of the conditions; NaN for a level without any."""


def median_polish(
    x_C: np.ndarray, *, task_C: np.ndarray, codes_CF: np.ndarray, cardinalities_F: Sequence[int]
) -> Polished:
    """Medians, not means: what a few conditions do stays in their residuals and does not move an effect."""
    residual_C = np.array(x_C, dtype=np.float64)
    _, task_C = np.unique(task_C, return_inverse=True)
    effects_F = [np.zeros(size) for size in cardinalities_F]
    for _ in range(SWEEPS):
        residual_C -= group_medians(residual_C, task_C)[task_C]
        for effect_L, code_C in zip(effects_F, codes_CF.T, strict=True):
            met, code = np.unique(code_C, return_inverse=True)
            shift = group_medians(residual_C, code)
            effect_L[met] += shift
            residual_C -= shift[code]
    return Polished(residual_C, tuple(map(_centred, effects_F, codes_CF.T)))


def median_interval(value_N: np.ndarray, *, level: float) -> tuple[float, float]:
    """The exact interval of a median, of two order statistics; infinite where the values are too few for one."""
    n = len(value_N)
    skipped = int(stats.binom.ppf((1.0 - level) / 2.0, n, 0.5)) if n else 0
    if skipped == 0:
        return -np.inf, np.inf
    ordered = np.sort(value_N)
    return float(ordered[skipped - 1]), float(ordered[n - skipped])


def residual_z(residual_C: np.ndarray, *, task_C: np.ndarray) -> np.ndarray:
    """float64 [C]: residuals in robust standard deviations of their task, with the floor of `task_scale`.

    A task with fewer than 8 conditions takes the spread of all.
    """
    _, task_C = np.unique(task_C, return_inverse=True)
    pooled = NORMAL_MAD * float(np.median(np.abs(residual_C)))
    ample_T = np.bincount(task_C) >= FEWEST_ROWS
    width_T = np.where(ample_T, NORMAL_MAD * group_medians(np.abs(residual_C), task_C), pooled)
    floor = max(FLOOR_SHARE * float(np.median(width_T)), MATERIAL)
    return np.asarray(residual_C / (width_T + floor)[task_C])


def _centred(effect_L: np.ndarray, code_C: np.ndarray) -> np.ndarray:
    met = np.bincount(code_C, minlength=len(effect_L)) > 0
    return np.where(met, effect_L - np.median(effect_L[code_C]), np.nan)
