import numpy as np
import pytest
from scipy.stats import binom, binomtest

from diffbehav.stats.intervals import clopper_pearson, log_tail


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (10, 10), (3, 10), (1, 1), (37, 4000)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_the_interval_is_scipys_exact_one(hits: int, trials: int, level: float) -> None:
    low, high = clopper_pearson(hits, trials, level=level)
    exact = binomtest(hits, trials).proportion_ci(level, method="exact")
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_no_trials_leave_the_whole_unit_interval() -> None:
    low, high = clopper_pearson(np.array([0, 2]), np.array([0, 4]), level=0.95)
    assert (low[0], high[0]) == (0.0, 1.0)
    assert 0.0 < low[1] < 0.5 < high[1] < 1.0


def test_the_log_tail_is_scipys_as_long_as_scipy_has_one() -> None:
    rng = np.random.default_rng(0)
    trials = rng.integers(1, 3000, 4000)
    hits = (trials * rng.random(4000)).astype(int)
    rate = rng.choice([0.03, 0.01, 0.5], 4000)
    scipys = binom.logsf(hits - 1, trials, rate)
    shallow = scipys > -600
    assert shallow.sum() > 1000
    tails = log_tail(hits, trials, rate=rate)
    np.testing.assert_allclose(tails[shallow], scipys[shallow], rtol=1e-9, atol=1e-12)


def test_the_deepest_tail_is_finite_and_is_a_hand_worked_value() -> None:
    np.testing.assert_allclose(log_tail(5000, 5000, rate=0.03), 5000 * np.log(0.03), rtol=1e-12)
    one_miss = 2000 * np.log(0.03) + np.logaddexp(np.log(2000 * 0.97 / 0.03), 0.0)
    np.testing.assert_allclose(log_tail(1999, 2000, rate=0.03), one_miss, rtol=1e-12)


def test_the_two_ways_to_the_tail_meet_without_a_step() -> None:
    hits = np.arange(150, 380)
    tails = log_tail(hits, 400, rate=0.03)
    assert tails.min() < -900 < -600 < tails.max()
    second_difference = np.diff(tails, 2)
    assert (np.diff(tails) < 0).all()
    assert np.abs(np.diff(second_difference)).max() < 0.1


def test_no_hits_are_certain() -> None:
    np.testing.assert_array_equal(log_tail(np.array([0, 0]), np.array([0, 7]), rate=0.03), [0.0, 0.0])
