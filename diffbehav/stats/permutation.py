"""Which levels go with high scores, by shuffling the scores within each task: an exploratory display.

The factor values were drawn by us, so under the point null (no factor has any effect) all orders of the scores
of one task are equally likely and the p-values are exact. A benign fine-tune reacts a little to everything and
breaks the point null, so small p-values point where to look and are no verdict.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

SAME = 1e-9
"""Statistics (in standard deviations) that differ by less are equal but for rounding."""


class LevelTests(NamedTuple):
    """One-sided tests of L levels, factor by factor."""

    factor_L: np.ndarray
    """int64 [L]: column of the code table."""
    level_L: np.ndarray
    """int64 [L]: code of the level."""
    n_L: np.ndarray
    """int64 [L]: measured conditions."""
    statistic_L: np.ndarray
    """float64 [L]: mean Savage score in standard deviations above its permutation mean; NaN where shuffling
    cannot change it (no condition has the level, or all of their tasks have)."""
    p_L: np.ndarray
    """float64 [L], in (0, 1]: of this level alone, for `scipy.stats.false_discovery_control`; NaN as above."""
    p_max_L: np.ndarray
    """float64 [L], in (0, 1]: against the largest statistic of all levels, so that P(any <= a) <= a; NaN as
    above."""


def level_tests(
    codes_CF: np.ndarray,
    *,
    cardinalities_F: Sequence[int],
    score_C: np.ndarray,
    task_C: np.ndarray,
    permutations: int,
    rng: np.random.Generator,
) -> LevelTests:
    """Test every level for a high mean Savage score (Savage, 1956), permuting within tasks.

    The mean and the standard deviation that studentise a level are taken over the permutations *and* the
    observed order: only then all of them are exchangeable and the maximum over levels keeps its size. The
    observed order counts as one of the permutations, so no p-value is below 1/(permutations + 1) (Phipson and
    Smyth, 2010). Conditions with a NaN score take no part.
    """
    measured_C = ~np.isnan(score_C)
    _, task = np.unique(task_C[measured_C], return_inverse=True)
    by_task = np.argsort(task, kind="stable")
    task = task[by_task]
    savage = savage_scores(score_C[measured_C])[by_task]
    members = _members(codes_CF[measured_C][by_task], cardinalities_F)
    shuffles = (savage[np.argsort(task + rng.random(len(task)))] for _ in range(permutations))
    sum_BL = np.stack([members @ savage, *(members @ shuffled for shuffled in shuffles)])
    n_L = np.diff(members.indptr)
    factor_L = np.repeat(np.arange(len(cardinalities_F)), cardinalities_F)
    level_L = np.concatenate([np.arange(size) for size in cardinalities_F])
    return LevelTests(factor_L, level_L, n_L, *_studentised(sum_BL / np.maximum(n_L, 1)))


def savage_scores(values: np.ndarray) -> np.ndarray:
    """Expected order statistics of a unit exponential sample, less their mean 1: high values weigh most.

    The value of rank r of n (1 = lowest) has sum_{j = n - r + 1}^{n} 1/j - 1; equal values share their mean.
    """
    _, group, size_G = np.unique(values, return_inverse=True, return_counts=True)
    expected = np.cumsum(1.0 / np.arange(len(values), 0, -1)) - 1.0
    total_G = np.bincount(np.repeat(np.arange(len(size_G)), size_G), weights=expected)
    return np.asarray((total_G / size_G)[group])


def _members(codes_CF: np.ndarray, cardinalities_F: Sequence[int]) -> sparse.csr_array:
    """[L, C]: 1 where the condition has the level."""
    first_F = np.cumsum([0, *cardinalities_F[:-1]])
    level_CF = codes_CF + first_F
    row = np.repeat(np.arange(len(codes_CF)), codes_CF.shape[1])
    shape = (int(np.sum(cardinalities_F)), len(codes_CF))
    return sparse.csr_array((np.ones(level_CF.size), (level_CF.ravel(), row)), shape=shape)


def _studentised(mean_BL: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Statistic, own p and maximum p [L] of the first row among all rows."""
    spread_L = mean_BL.std(axis=0)
    varies_L = spread_L > SAME
    statistic_BV = (mean_BL - mean_BL.mean(axis=0))[:, varies_L] / spread_L[varies_L]
    least_V = statistic_BV[0] - SAME
    statistic_L, p_L, p_max_L = (np.full(len(varies_L), np.nan) for _ in range(3))
    if varies_L.any():
        statistic_L[varies_L] = statistic_BV[0]
        p_L[varies_L] = (statistic_BV >= least_V).mean(axis=0)
        p_max_L[varies_L] = (statistic_BV.max(axis=1)[:, None] >= least_V).mean(axis=0)
    return statistic_L, p_L, p_max_L
