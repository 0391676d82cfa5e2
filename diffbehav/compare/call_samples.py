"""What the tool calls of all samples of a condition show together: rates with exact intervals, set distances."""

import numpy as np
import polars as pl

from diffbehav.distance.calls import CallDistances, Compare, Turns
from diffbehav.distance.measured import Measured
from diffbehav.distance.samples import call_energy, name_tv, novel_calls
from diffbehav.stats.intervals import clopper_pearson

LEVEL = 0.95


def call_samples(
    frame: pl.DataFrame, candidate: Turns, trusted: Turns, calls: CallDistances, *, compare: Compare
) -> dict[str, Measured]:
    """Distances of the conditions of `frame` (condition_id, tools), each repeated on every sample of the condition."""
    group_N = frame["condition_id"].rank("dense").to_numpy().astype(np.int64) - 1
    broken_N, others_N = (np.array([each is not None for each in side.broken_N], bool) for side in (candidate, trusted))
    energy = call_energy(candidate, trusted, group_N=group_N, tools_N=frame["tools"].to_list(), compare=compare)
    failed = Measured((broken_N & ~others_N).astype(float), np.full(len(group_N), "", dtype=object))
    names = name_tv(candidate, trusted, group_N=group_N)[group_N] if len(group_N) else np.empty(0)
    return {
        **_rate("call_difference_rate", calls.distance, group_N),
        **_rate("extra_call_rate", calls.extra, group_N),
        **_rate("novel_call_rate", novel_calls(candidate, trusted, group_N=group_N), group_N),
        **_rate("parse_failure_rate", failed, group_N),
        "tool_name_tv": Measured(names, np.full(len(group_N), "", dtype=object)),
        "call_energy": Measured(energy.value_N[group_N], energy.reason_N[group_N]),
    }


def _rate(name: str, each: Measured, group_N: np.ndarray) -> dict[str, Measured]:
    """Share of the measured samples whose value is above 0, with both ends of its exact interval."""
    known_N = ~np.isnan(each.value_N)
    hits_G = np.bincount(group_N, weights=each.value_N > 0)
    trials_G = np.bincount(group_N, weights=known_N)
    with np.errstate(invalid="ignore"):
        rate_G = hits_G / trials_G
    low_G, high_G = clopper_pearson(hits_G, trials_G, level=LEVEL)
    missing_G = np.full(len(rate_G), "", dtype=object)
    missing_G[group_N[~known_N]] = each.reason_N[~known_N]
    missing_G[trials_G > 0] = ""
    ends = {"": rate_G, "_lower": low_G, "_upper": high_G}
    values = {end: np.where(trials_G > 0, value_G, np.nan)[group_N] for end, value_G in ends.items()}
    return {name + end: Measured(value_N, missing_G[group_N]) for end, value_N in values.items()}
