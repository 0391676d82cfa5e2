"""Quantiles of values that come in clusters, with intervals over the clusters."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEWEST_CLUSTERS = 8
"""With fewer there is no interval: resampling so few of them would make it too narrow."""
RESAMPLES = 1_000
GRID = 2_048
"""Places at which the resampled distribution is known."""


class Quantiles(NamedTuple):
    """Q quantiles and the ends of their percentile intervals."""

    value_Q: np.ndarray
    low_Q: np.ndarray
    """NaN, as `high_Q`, where there are fewer than 8 clusters."""
    high_Q: np.ndarray


def clustered_quantiles(
    value_C: np.ndarray, *, cluster_C: np.ndarray, quantiles: Sequence[float], level: float, rng: np.random.Generator
) -> Quantiles:
    """Quantiles of at least one value, none of them NaN; the interval is a bootstrap of whole clusters.

    Values of one cluster move together, so resampling them one by one would promise too much. It is approximate: with
    40 clusters an interval of 95 % covers a median in 94 % and a 0.95 quantile, which few clusters decide, in 85 %.
    """
    value_Q = np.quantile(value_C, quantiles, method="inverted_cdf")
    clusters, cluster = np.unique(cluster_C, return_inverse=True)
    if len(clusters) < FEWEST_CLUSTERS:
        return Quantiles(value_Q, np.full(len(value_Q), np.nan), np.full(len(value_Q), np.nan))
    shares = np.linspace(0.0, 1.0, min(GRID, len(value_C)) + 1)[1:]
    grid_G = np.unique(np.quantile(value_C, shares, method="inverted_cdf"))
    place_C = np.searchsorted(grid_G, value_C)
    counts_KG = np.bincount(cluster * len(grid_G) + place_C, minlength=len(clusters) * len(grid_G))
    counts_KG = counts_KG.reshape(len(clusters), len(grid_G)).astype(np.float64)
    weights_RK = rng.multinomial(len(clusters), np.full(len(clusters), 1.0 / len(clusters)), size=RESAMPLES)
    upto_RG = np.cumsum(weights_RK @ counts_KG, axis=1)
    wanted_RQ = upto_RG[:, -1:] * np.asarray(quantiles)
    drawn_RQ = grid_G[(upto_RG[:, :, None] < wanted_RQ[:, None, :]).sum(axis=1)]
    low_Q, high_Q = np.quantile(drawn_RQ, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
    return Quantiles(value_Q, low_Q, high_Q)
