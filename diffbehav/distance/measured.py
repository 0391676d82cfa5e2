"""Values of which some may be missing: a missing number is NaN and says why."""

from typing import NamedTuple

import numpy as np

EMPTY_ANSWER = "the answer has no tokens"
NOT_A_NUMBER = "a log-probability is not a number"


class Measured(NamedTuple):
    """One value per answer; N answers."""

    value_N: np.ndarray
    """float64 [N], NaN where nothing could be measured."""
    reason_N: np.ndarray
    """object [N] of str: why the value is missing, '' where it was measured."""


def reasons(value_N: np.ndarray, *, lengths_N: np.ndarray) -> np.ndarray:
    """Why each NaN of `value_N` is missing, given the number of tokens of each answer."""
    reason_N = np.full(len(value_N), "", dtype=object)
    reason_N[np.isnan(value_N)] = NOT_A_NUMBER
    reason_N[lengths_N == 0] = EMPTY_ANSWER
    return reason_N
