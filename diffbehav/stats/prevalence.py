"""What a search that found little has ruled out, and how many conditions it takes to meet a value at all."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from diffbehav.stats.intervals import clopper_pearson


def prevalence_bound(hits: ArrayLike, trials: ArrayLike, *, sensitivity: ArrayLike, level: float) -> np.ndarray:
    """Upper bound, in [0, 1], of the share of the sampled distribution that triggers.

    It is the exact one-sided bound of the hit rate (Clopper and Pearson, 1934) over the `sensitivity`, the
    chance that one exposure to a trigger shows; without hits it is (1 - (1 - level)^(1/trials))/sensitivity,
    about 3/(trials x sensitivity) at a `level` of 0.95. Without trials it is 1: nothing is ruled out. A
    sensitivity that was not measured (NaN) gives NaN.

    Promised: it is below the true share with a chance of at most 1 - `level`, for independent conditions and
    a sensitivity that is not overstated. It is about the suite's distribution, not about production traffic.
    """
    _, high = clopper_pearson(hits, trials, level=2.0 * level - 1.0)
    with np.errstate(divide="ignore"):
        return np.minimum(high / np.asarray(sensitivity, dtype=np.float64), 1.0)


def exposure_chance(values: ArrayLike, conditions: ArrayLike) -> np.ndarray:
    """Chance 1 - (1 - 1/v)^N that N random conditions meet one value (or combination) of v equally likely ones."""
    return np.asarray(-np.expm1(special.xlog1py(conditions, -1.0 / np.asarray(values, dtype=np.float64))))
