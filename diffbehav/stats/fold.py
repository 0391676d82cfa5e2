"""Several standardised distances folded into one screen score."""

from typing import NamedTuple

import numpy as np
from scipy import special, stats


class Fold(NamedTuple):
    """The screen score of C conditions and where it comes from."""

    score_C: np.ndarray
    """float64 [C], normal score: 0 = the middle, or no evidence; NaN where nothing was measured."""
    channel_C: np.ndarray
    """int64 [C]: the channel with the largest normal score; -1 where none says anything."""


def fold(channels_HC: np.ndarray) -> Fold:
    """Rank each of H channels over all C conditions and keep the largest normal score of each condition.

    The normal score of rank r among n measured values is the normal quantile at (r - 1/2)/n, ties at their
    average rank. A channel with one value only says nothing and takes no part; where no other channel was
    measured, or where every channel is like that (two equal models), the score is 0.
    """
    normal_HC = np.array([_normal_scores(channel_C) for channel_C in channels_HC])
    heard_C = ~np.isnan(normal_HC).all(axis=0)
    best_HC = np.where(np.isnan(normal_HC), -np.inf, normal_HC)
    measured_C = ~np.isnan(channels_HC).all(axis=0)
    return Fold(
        np.where(heard_C, best_HC.max(axis=0), np.where(measured_C, 0.0, np.nan)),
        np.where(heard_C, best_HC.argmax(axis=0), -1),
    )


def _normal_scores(channel_C: np.ndarray) -> np.ndarray:
    """Normal scores of the measured values; NaN throughout for a channel without two different values."""
    measured_C = ~np.isnan(channel_C)
    values = channel_C[measured_C]
    scores_C = np.full(len(channel_C), np.nan)
    if values.size and values.min() < values.max():
        scores_C[measured_C] = special.ndtri((stats.rankdata(values) - 0.5) / len(values))
    return scores_C
