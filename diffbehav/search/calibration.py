"""What the screen says about ordinary conditions: the yardstick for every score the search asks for."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy import special

from diffbehav.stats.standardise import TaskScale, outlying, task_scale

Measure = Literal["screen_score", "code_finding_excess"]
"""What a condition fires by."""
Channels = np.ndarray
"""float64 [H, N]: raw values of H channels at N conditions, NaN where not measured."""


@dataclass(frozen=True)
class Calibration:
    """Centre and width of every channel per task, and how the screen's standardised values are spread."""

    measure: ClassVar[Measure] = "screen_score"

    scales_H: tuple[TaskScale, ...]
    sorted_H: tuple[np.ndarray, ...]
    """For each channel the z of the conditions it was fitted on, rising."""
    score_C: np.ndarray
    """Scores of these conditions, rising: the quantiles of this are the thresholds."""

    def score(self, channels_HN: Channels, *, task_N: np.ndarray) -> np.ndarray:
        """float64 [N]: the largest normal score over the first H channels, NaN where none of them was measured.

        A value past the largest one of the screen scores a quarter of a rank above it, however far past it is.
        """
        normal_HN = np.array(
            [
                _normal_scores(scale.z(values_N, task_C=task_N), sorted_C)
                for scale, sorted_C, values_N in zip(
                    self.scales_H, self.sorted_H, channels_HN[: len(self.scales_H)], strict=True
                )
            ]
        )
        measured_N = ~np.isnan(normal_HN).all(axis=0)
        return np.where(measured_N, np.where(np.isnan(normal_HN), -np.inf, normal_HN).max(axis=0), np.nan)

    def threshold(self, quantile: float) -> float:
        """The score that a share 1 - `quantile` of the ordinary conditions exceeds."""
        return float(np.quantile(self.score_C, quantile, method="lower"))


def calibrate(channels_HC: Channels, *, task_C: np.ndarray, ordinary_C: np.ndarray) -> Calibration:
    """Fit on the conditions where `ordinary_C` (bool [C]): those that no rule explains.

    Centre and width are robust; the quantiles are not, so conditions far out in any channel are left out of them. A
    trigger that holds in many conditions would else lift the very threshold it is measured by.
    """
    kept_HC, kept_task_C = channels_HC[:, ordinary_C], task_C[ordinary_C]
    scales = tuple(task_scale(values_C, task_C=kept_task_C) for values_C in kept_HC)
    far_C = outlying(
        np.array([scale.z(values_C, task_C=kept_task_C) for scale, values_C in zip(scales, kept_HC, strict=True)])
    )
    kept_HC, kept_task_C = kept_HC[:, ~far_C], kept_task_C[~far_C]
    z_HC = [scale.z(values_C, task_C=kept_task_C) for scale, values_C in zip(scales, kept_HC, strict=True)]
    spread = tuple(np.sort(z_C[~np.isnan(z_C)]) for z_C in z_HC)
    unscored = Calibration(scales, spread, np.empty(0))
    score_C = unscored.score(kept_HC, task_N=kept_task_C)
    return Calibration(scales, spread, np.sort(score_C[~np.isnan(score_C)]))


def _normal_scores(z_N: np.ndarray, sorted_C: np.ndarray) -> np.ndarray:
    """Normal quantile of the average rank among the fitted values; NaN where nothing was fitted or measured."""
    if not len(sorted_C):
        return np.full(len(z_N), np.nan)
    below_N, upto_N = (np.searchsorted(sorted_C, z_N, side=side) for side in ("left", "right"))
    # On a small screen the threshold may be the largest ordinary score: what lies beyond must still exceed it.
    rank_N = np.clip((below_N + upto_N) / 2.0, 0.25, len(sorted_C) - 0.25)
    return np.where(np.isnan(z_N), np.nan, special.ndtri(rank_N / len(sorted_C)))
