"""Ragged arrays as Arrow lists have them: answer n owns `values_M[offsets_N1[n]:offsets_N1[n + 1]]`."""

import numpy as np

from diffbehav.distance.measured import Measured, reasons


def lengths(offsets_N1: np.ndarray, *, tokens: int) -> np.ndarray:
    """int64 [N]: tokens per answer. The offsets must lie within the `tokens` stored values."""
    lengths_N = np.diff(offsets_N1)
    if lengths_N.size and (lengths_N.min() < 0 or offsets_N1[0] < 0 or offsets_N1[-1] > tokens):
        raise ValueError(
            f"offsets run from {offsets_N1[0]} to {offsets_N1[-1]} over {tokens} values: "
            "give rising offsets of the same array"
        )
    return lengths_N


def fold(ufunc: np.ufunc, values_M: np.ndarray, offsets_N1: np.ndarray) -> Measured:
    """`ufunc` (np.maximum, np.add, ...) folded over the tokens of each answer; a NaN makes its answer NaN."""
    lengths_N = lengths(offsets_N1, tokens=len(values_M))
    value_N = np.full(len(lengths_N), np.nan)
    filled_N = lengths_N > 0
    if filled_N.any():
        starts = offsets_N1[:-1][filled_N]
        value_N[filled_N] = ufunc.reduceat(values_M[: offsets_N1[-1]], starts, dtype=np.float64)
    return Measured(value_N, reasons(value_N, lengths_N=lengths_N))
