"""List columns of a frame as the flat arrays that distances take."""

import numpy as np
import polars as pl


def flat(column: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Values of all lists of `column` one after the other, and int64 offsets [N + 1]."""
    array = column.rechunk().to_arrow()
    offsets = array.offsets.to_numpy().astype(np.int64)
    return array.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]], offsets - offsets[0]
