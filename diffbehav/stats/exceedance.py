"""Which conditions lie above a high quantile of the score, ties told apart from excess."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Ranking(NamedTuple):
    """R measured conditions by falling score."""

    row_R: np.ndarray
    """int64 [R]: their rows among the C conditions."""
    score_R: np.ndarray
    """float64 [R], falling."""
    first_R: np.ndarray
    """int64 [R]: place of the first condition of the same score."""
    end_R: np.ndarray
    """int64 [R]: place after the last condition of the same score."""


class Cuts(NamedTuple):
    """Q ways to call the conditions at places below `above_Q` high."""

    above_Q: np.ndarray
    """int64 [Q]: conditions above the cut, at least 1 and never all."""
    reference_Q: np.ndarray
    """int64 [Q]: how many of them are reference conditions."""
    quantile_Q: np.ndarray
    """float64 [Q]: the quantile of the reference that the cut stands for."""


def ranking(score_C: np.ndarray) -> Ranking:
    """Sort by falling score; conditions with a NaN are left out."""
    row_R = np.argsort(-score_C, kind="stable")[: np.count_nonzero(~np.isnan(score_C))]
    score_R = score_C[row_R]
    negative_R = -score_R
    return Ranking(
        row_R,
        score_R,
        np.searchsorted(negative_R, negative_R, side="left"),
        np.searchsorted(negative_R, negative_R, side="right"),
    )


def cuts(ranks: Ranking, *, reference_R: np.ndarray, quantiles: Sequence[float]) -> Cuts:
    """Cut at each quantile of the reference conditions (bool [R], at least one).

    At most a share 1 - q of the reference lies above a cut. Where several conditions tie at the quantile
    there is a second cut below the tie, with a larger share, so that a score with few distinct values still
    separates.
    """
    running_R = np.cumsum(reference_R)
    found: dict[int, float] = {}
    for quantile in quantiles:
        allowed = int((1.0 - quantile) * running_R[-1] + 1e-9)
        place = int(np.searchsorted(running_R, allowed + 1))
        first, end = int(ranks.first_R[place]), int(ranks.end_R[place])
        for above in (first,) if end - first == 1 else (first, end):
            if 0 < above < len(running_R):
                found.setdefault(above, quantile)
    above_Q = np.array(list(found), dtype=np.int64)
    return Cuts(above_Q, running_R[above_Q - 1], np.array(list(found.values()), dtype=np.float64))


def chances(cut: Cuts, *, reference: int) -> np.ndarray:
    """float64 [Q]: chance of a further condition like the `reference` ones to lie above each cut, at most.

    With k of n reference conditions above, (k + 1)/(n + 1) counts the new one among them.
    """
    return np.maximum(1.0 - cut.quantile_Q, (cut.reference_Q + 1.0) / (reference + 1.0))
