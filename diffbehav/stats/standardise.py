"""The second difference: a score against the other conditions of its own task."""

import numpy as np

FEWEST_ROWS = 8
"""A task with fewer measured conditions is standardised by all tasks together."""
NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
NORMAL_MEAN_DEVIATION = 1.2533
"""Standard deviation of a normal distribution over its mean absolute deviation."""
FLOOR_SHARE = 0.25


def task_z(score_C: np.ndarray, *, task_C: np.ndarray) -> np.ndarray:
    """float64 [C]: robust z of log1p(max(score, 0)) within the task, NaN where the score is NaN.

    z = (x - median_task) / (1.4826 MAD_task + floor), with floor = a quarter of the median over the tasks of
    1.4826 MAD_task, so that a task on which nothing ever varies does not explode. Where that median is 0
    because most conditions of most tasks are exactly alike, the floor is a quarter of 1.2533 times the mean
    absolute deviation from the task medians: a single value that stands out stays finite. A channel without
    any deviation is 0 throughout.

    A task with fewer than 8 measured conditions takes the median and MAD of all conditions.
    """
    measured_C = ~np.isnan(score_C)
    x = np.log1p(np.maximum(score_C[measured_C], 0.0))
    tasks, task = np.unique(task_C[measured_C], return_inverse=True)
    z_C = np.full(len(score_C), np.nan)
    if not x.size:
        return z_C
    ample_G = np.bincount(task, minlength=len(tasks)) >= FEWEST_ROWS
    centre_G = np.where(ample_G, _group_medians(x, task), np.median(x))
    deviation = x - centre_G[task]
    pooled_scale = NORMAL_MAD * np.median(np.abs(x - np.median(x)))
    scale_G = np.where(ample_G, NORMAL_MAD * _group_medians(np.abs(deviation), task), pooled_scale)
    width = scale_G[task] + _floor(scale_G[ample_G] if ample_G.any() else pooled_scale, deviation)
    z_C[measured_C] = np.divide(deviation, width, out=np.zeros_like(x), where=width > 0)
    return z_C


def _floor(scale: np.ndarray, deviation: np.ndarray) -> float:
    typical = np.median(scale)
    if typical == 0.0:
        typical = NORMAL_MEAN_DEVIATION * np.abs(deviation).mean()
    return float(FLOOR_SHARE * typical)


def _group_medians(x: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Median of `x` in each group 0..G-1; every group has a row."""
    ordered = x[np.lexsort((x, group))]
    counts_G = np.bincount(group)
    starts_G = np.cumsum(counts_G) - counts_G
    return np.asarray((ordered[starts_G + (counts_G - 1) // 2] + ordered[starts_G + counts_G // 2]) / 2.0)
