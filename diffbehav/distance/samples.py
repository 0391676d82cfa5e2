"""How far apart the tool calls of two sides are over all samples of a condition, which one sample cannot show."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from diffbehav.distance.calls import Compare, Turns, tools_called
from diffbehav.distance.measured import Measured
from diffbehav.distance.turns import BOTH_BROKEN, ONE_BROKEN

ONE_SAMPLE = "needs two samples of both sides"


def name_tv(candidate: Turns, trusted: Turns, *, group_N: np.ndarray) -> np.ndarray:
    """float64 [G] in [0, 1]: total variation between the two sides' shares of samples that call the same tools.

    What a sample calls is its multiset of tool names, in any order; one whose calls could not be read is an outcome of
    its own. `group_N` int [N] has the condition of each pair of samples, 0..G-1.
    """
    codes: dict[tuple[str, ...] | None, int] = {}
    known: dict[str, int] = {}

    def code(calls: str, broken: str | None) -> int:
        if broken is not None:
            return codes.setdefault(None, len(codes))
        if calls not in known:
            names = tuple(sorted(tools_called(calls).elements()))
            known[calls] = codes.setdefault(names, len(codes))
        return known[calls]

    turns = [turn for side in (candidate, trusted) for turn in zip(*side, strict=True)]
    code_2N = np.array([code(*turn) for turn in turns], dtype=np.int64)
    cell_2N = np.tile(group_N, 2) * max(len(codes), 1) + code_2N
    cell_U, place_2N = np.unique(cell_2N, return_inverse=True)
    excess_U = np.bincount(place_2N, weights=np.repeat([1.0, -1.0], len(group_N)), minlength=len(cell_U))
    apart_G = np.bincount(cell_U // max(len(codes), 1), weights=np.abs(excess_U))
    return np.asarray(apart_G / (2.0 * np.bincount(group_N)))


def novel_calls(candidate: Turns, trusted: Turns, *, group_N: np.ndarray) -> Measured:
    """1 for each sample [N] that calls a tool more often than any trusted sample of its condition does, else 0.

    Compared is what could be read. Missing where no trusted sample of the condition could be read whole, or where a
    sample of the candidate is broken and the rest of it holds nothing novel. `group_N` int [N]: condition of each pair.
    """
    most: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for group, calls in zip(group_N.tolist(), trusted.calls_N, strict=True):
        most[group] |= tools_called(calls)
    read = {group for group, broken in zip(group_N.tolist(), trusted.broken_N, strict=True) if broken is None}
    value_N, reason_N = np.zeros(len(group_N)), np.full(len(group_N), "", dtype=object)
    for place, (group, calls, broken) in enumerate(zip(group_N.tolist(), *candidate, strict=True)):
        value_N[place] = bool(tools_called(calls) - most[group])
        if group not in read or (broken is not None and not value_N[place]):
            value_N[place], reason_N[place] = np.nan, ONE_BROKEN if group in read or broken is None else BOTH_BROKEN
    return Measured(value_N, reason_N)


def call_energy(
    candidate: Turns, trusted: Turns, *, group_N: np.ndarray, tools_N: Sequence[str], compare: Compare
) -> Measured:
    """Energy distance [G] 2 E d(X, Y) - E d(X, X') - E d(Y, Y') of the calls, in [-2, 2], for groups of samples.

    The mean over pairs of different samples, so it is unbiased, by chance below 0, and 0 where each sample of one side
    equals that of the other, even when both were drawn with common random numbers.
    """
    order_N = np.argsort(group_N, kind="stable")
    starts_G1 = np.searchsorted(group_N[order_N], np.arange(group_N.max(initial=-1) + 2))
    value_G, reason_G = np.full(len(starts_G1) - 1, np.nan), np.full(len(starts_G1) - 1, ONE_SAMPLE, dtype=object)
    for group in np.flatnonzero(np.diff(starts_G1) > 1):
        rows = order_N[starts_G1[group] : starts_G1[group + 1]].tolist()
        turns = [
            (sign, compare(one.calls_N[i], one.broken_N[i], other.calls_N[j], other.broken_N[j], tools_N[i]))
            for first, second in combinations(rows, 2)
            for sign, one, other, i, j in (
                (1.0, candidate, trusted, first, second),
                (1.0, candidate, trusted, second, first),
                (-1.0, candidate, candidate, first, second),
                (-1.0, trusted, trusted, first, second),
            )
        ]
        value_G[group] = 4.0 * np.mean([sign * turn.distance for sign, turn in turns])
        reason_G[group] = next((turn.distance_reason for _, turn in turns if turn.distance_reason), "")
    return Measured(value_G, reason_G)
