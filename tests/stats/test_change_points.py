"""A planted step is found at its place, one share gives none, and no partition is better than the one found."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from diffbehav.stats.change_points import change_points, penalty

LEVEL = 0.05
counts = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda k: (min(k), max(k))), max_size=6)


def split(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def cost(hits: np.ndarray, trials: np.ndarray, changes: tuple[int, ...]) -> float:
    """Segment by segment, with the probability mass of scipy less its binomial coefficient."""
    total = penalty(len(hits), level=LEVEL) * len(changes)
    for part in np.split(np.arange(len(hits)), changes):
        k, n = hits[part].sum(), trials[part].sum()
        if n:
            total -= 2 * (binom.logpmf(k, n, k / n) - binom.logpmf(k, n, 0.5) + n * np.log(0.5))
    return float(total)


@settings(deadline=None)
@given(counts)
def test_no_other_partition_is_cheaper(pairs: list[tuple[int, int]]) -> None:
    hits, trials = split(pairs)
    found = change_points(hits, trials, level=LEVEL)
    every = (each for m in range(len(hits)) for each in combinations(range(1, len(hits)), m))
    assert cost(hits, trials, tuple(found)) <= min((cost(hits, trials, each) for each in every), default=0.0) + 1e-6


@given(
    length=st.integers(6, 60), place=st.floats(0.2, 0.8), low=st.floats(0.0, 0.15), rise=st.floats(0.5, 0.8),
    seed=st.integers(0, 2**32 - 1), falling=st.booleans(),
)  # fmt: skip
def test_a_planted_step_of_half_a_share_is_found_at_its_place_and_nothing_else(
    length: int, place: float, low: float, rise: float, seed: int, falling: bool
) -> None:
    rng, step = np.random.default_rng(seed), max(2, min(length - 2, round(place * length)))
    trials = rng.integers(60, 90, length)
    share = np.where((np.arange(length) >= step) != falling, low + rise, low)
    assert change_points(rng.binomial(trials, share), trials, level=LEVEL) == [step]


def test_one_share_gives_a_change_no_more_often_than_stated() -> None:
    rng, series = np.random.default_rng(5), 400
    for share in (0.005, 0.1, 0.5):
        trials = rng.integers(0, 60, (series, 100))
        found = [change_points(rng.binomial(n, share), n, level=LEVEL) for n in trials]
        assert sum(map(bool, found)) <= LEVEL * series


@given(counts, st.integers(0, 3))
def test_places_without_trials_change_nothing_else(pairs: list[tuple[int, int]], padding: int) -> None:
    hits, trials = split([pair for pair in pairs if pair[1]] + [(0, 0)] * padding)
    assert all(trials[at:].any() for at in change_points(hits, trials, level=LEVEL))


def test_two_steps_are_found_and_a_short_series_has_none() -> None:
    hits = np.array([1] * 20 + [36] * 10 + [1] * 20)
    assert change_points(hits, np.full(50, 40), level=LEVEL) == [20, 30]
    assert change_points(np.array([3]), np.array([3]), level=LEVEL) == []
    assert change_points(np.array([], int), np.array([], int), level=LEVEL) == []


def test_a_stricter_level_and_more_places_ask_for_more() -> None:
    assert penalty(100, level=0.01) > penalty(100, level=0.05) > penalty(20, level=0.05) > penalty(1, level=0.05) == 0
