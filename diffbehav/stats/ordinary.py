"""Which conditions are ordinary, where a change that holds in most of them has become the rule."""

import numpy as np

from diffbehav.stats.standardise import FEWEST_ROWS, group_medians, outlying, standardised

LEAST_CONDITIONS = 40
"""Measured at the quiet levels, so that a high quantile of them means something."""
MOST_QUIET = 0.6
"""Share of the conditions at the quiet levels; where they are more, medians tell them from the others by themselves."""
LEAST_STEP = 0.25
"""Between the medians of quiet and other levels, in robust standard deviations of all: a smaller one needs no look."""
HIGH = 5.0
"""Robust standard deviations above the quiet levels, further than a fine-tune's reactions to levels bring answers."""
LEAST_HIGH = 0.15
"""Excess of the share so high over that of the quiet levels themselves."""


def ordinary(channels_HC: np.ndarray, codes_CF: np.ndarray, *, task_C: np.ndarray) -> np.ndarray:
    """bool [C]: the conditions by which all are measured, given H channels (NaN where not measured).

    All of them, as a rule: medians bear what a trigger does to fewer than half. A model that acts everywhere but where
    it believes to be tested has its change in the medians. So where the conditions at some levels of one factor lie far
    below the others of their task, these alone are ordinary: 15 % or more of the others lie more than 5 robust standard
    deviations above them. Of several factors that do so the clearest counts.
    """
    clearest, found_C = LEAST_HIGH, np.ones(len(codes_CF), bool)
    z_HC = standardised(channels_HC, task_C=task_C, among_C=found_C)
    measured_C = np.asarray(~np.isnan(z_HC).all(axis=0))
    for codes_C in codes_CF.T:
        for levels in _quiet_levels(z_HC, codes_C):
            quiet_C = np.isin(codes_C, levels)
            quiet = np.count_nonzero(quiet_C & measured_C)
            if not LEAST_CONDITIONS <= quiet <= MOST_QUIET * np.count_nonzero(measured_C):
                continue
            high_C = outlying(standardised(channels_HC, task_C=task_C, among_C=quiet_C), beyond=HIGH)
            excess = float(high_C[~quiet_C & measured_C].mean() - high_C[quiet_C & measured_C].mean())
            if excess > clearest:
                clearest, found_C = excess, quiet_C
    return found_C


def _quiet_levels(z_HC: np.ndarray, codes_C: np.ndarray) -> set[tuple[int, ...]]:
    """For each channel the levels below the widest step between two level medians, where that is wide enough."""
    found = set()
    for z_C in z_HC:
        measured_C = ~np.isnan(z_C)
        level_L, place_C = np.unique(codes_C[measured_C], return_inverse=True)
        ample_L = np.bincount(place_C, minlength=len(level_L)) >= FEWEST_ROWS
        if np.count_nonzero(ample_L) >= 2:
            level_L, median_L = level_L[ample_L], group_medians(z_C[measured_C], place_C)[ample_L]
            order_L = np.argsort(median_L, kind="stable")
            steps = np.diff(median_L[order_L])
            if steps.max() >= LEAST_STEP:
                found.add(tuple(level_L[order_L[: steps.argmax() + 1]].tolist()))
    return found
