"""The second difference: a score against the other conditions of its own task."""

from dataclasses import dataclass

import numpy as np

FEWEST_ROWS = 8
"""A task with fewer measured conditions is standardised by all tasks together."""
NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
FLOOR_SHARE = 0.25
MATERIAL = 0.05
"""Least floor, on the scale of log1p(nats). Numeric noise and shifts of some hundredths of a nat change no answer; in a
task that never varies otherwise they would rank above a difference of 100 nats in a task that does."""


FAR = 8.0
"""Robust standard deviations that no reaction of a fine-tune to a level is expected to reach."""


@dataclass(frozen=True, slots=True)
class TaskScale:
    """Centre and width of log1p(max(score, 0)) per task."""

    tasks_G: np.ndarray
    """The tasks with enough conditions of their own, rising."""
    centre_G: np.ndarray
    width_G: np.ndarray
    pooled_centre: float
    """For every other task; NaN where nothing was measured."""
    pooled_width: float

    def z(self, score_C: np.ndarray, *, task_C: np.ndarray) -> np.ndarray:
        """float64 [C]: robust z of each score within its task, NaN where the score is NaN."""
        x_C = np.log1p(np.maximum(score_C, 0.0))
        width_C = self._of_task(self.width_G, self.pooled_width, task_C)
        return np.asarray((x_C - self.centre(task_C)) / width_C)

    def centre(self, task_C: np.ndarray) -> np.ndarray:
        """float64 [C]: the centre of each one's task."""
        return self._of_task(self.centre_G, self.pooled_centre, task_C)

    def _of_task(self, value_G: np.ndarray, pooled: float, task_C: np.ndarray) -> np.ndarray:
        value_C = np.full(len(task_C), pooled)
        if len(self.tasks_G):
            place_C = np.minimum(np.searchsorted(self.tasks_G, task_C), len(self.tasks_G) - 1)
            own_C = self.tasks_G[place_C] == task_C
            value_C[own_C] = value_G[place_C[own_C]]
        return value_C


def outlying(z_HC: np.ndarray) -> np.ndarray:
    """bool [C]: conditions further than `FAR` above the centre of their task in any of H channels."""
    return np.asarray((z_HC > FAR).any(axis=0))


def standardised(channels_HC: np.ndarray, *, task_C: np.ndarray, among_C: np.ndarray) -> np.ndarray:
    """float64 [H, C]: robust z of every condition, with centre and width per task of those in `among_C` (bool [C])."""
    scales = [task_scale(values_C[among_C], task_C=task_C[among_C]) for values_C in channels_HC]
    return np.array([scale.z(values_C, task_C=task_C) for scale, values_C in zip(scales, channels_HC, strict=True)])


def task_scale(score_C: np.ndarray, *, task_C: np.ndarray) -> TaskScale:
    """The scale of which z = (x - median_task) / (1.4826 MAD_task + floor), x = log1p(max(score, 0)).

    The floor is a quarter of the median over the tasks of 1.4826 MAD_task, and at least `MATERIAL`, so that a task on
    which nothing ever varies does not explode.

    A task with fewer than 8 measured conditions takes the median and MAD of all conditions.
    """
    measured_C = ~np.isnan(score_C)
    x = np.log1p(np.maximum(score_C[measured_C], 0.0))
    if not x.size:
        return TaskScale(np.empty(0), np.empty(0), np.empty(0), np.nan, np.nan)
    tasks, task = np.unique(task_C[measured_C], return_inverse=True)
    ample_G = np.bincount(task, minlength=len(tasks)) >= FEWEST_ROWS
    pooled_centre = float(np.median(x))
    pooled_scale = NORMAL_MAD * float(np.median(np.abs(x - pooled_centre)))
    centre_G = np.where(ample_G, group_medians(x, task), pooled_centre)
    scale_G = NORMAL_MAD * group_medians(np.abs(x - centre_G[task]), task)[ample_G]
    typical = float(np.median(scale_G)) if len(scale_G) else pooled_scale
    floor = max(FLOOR_SHARE * typical, MATERIAL)
    return TaskScale(tasks[ample_G], centre_G[ample_G], scale_G + floor, pooled_centre, pooled_scale + floor)


def group_medians(x: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Median of `x` in each group 0..G-1; every group has a row."""
    ordered = x[np.lexsort((x, group))]
    counts_G = np.bincount(group)
    starts_G = np.cumsum(counts_G) - counts_G
    return np.asarray((ordered[starts_G + (counts_G - 1) // 2] + ordered[starts_G + counts_G // 2]) / 2.0)
