import numpy as np
import pytest
from scipy.stats import binom

from diffbehav.stats.ecusum import ALTERNATIVES, alarms, ecusum, log_night_e_value, same_night_null_rate

NIGHTS, LEVELS, ROWS, CHANGE = 365, 137, 40, 200
YEARS_3 = 1095.0


def year(seed: int, *, runs: int, jump: float, drift: float, same_night: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """False alarms (levels) and delay (nights to the alarm on the changed level) of each run; NaN if none.

    Rate 0.02, times `drift` by the end of the year; `jump` more on the first level from the change on.
    """
    rng = np.random.default_rng(seed)
    log_m = np.zeros((runs, LEVELS))
    first = np.full((runs, LEVELS), np.nan)
    for night in range(NIGHTS):
        base = 0.02 * (1 + (drift - 1) * night / (NIGHTS - 1))
        rate = np.full(LEVELS, base)
        rate[0] += jump * (night >= CHANGE)
        controls = rng.binomial(1500, base if same_night else 0.02, (runs, 1))
        log_m = ecusum(
            log_m,
            hits_L=rng.binomial(ROWS, rate, (runs, LEVELS)),
            trials_L=ROWS,
            null_rate=same_night_null_rate(controls, 1500),
        )
        first = np.where(alarms(log_m, arl=YEARS_3) & np.isnan(first), night, first)
    return np.count_nonzero(~np.isnan(first[:, 1:]), axis=1), first[:, 0] - CHANGE


def test_a_change_of_ten_points_is_seen_in_about_six_nights_without_a_false_alarm_in_a_year() -> None:
    false, delay = year(0, runs=40, jump=0.10, drift=1.0)
    assert not false.any()
    assert 4 <= np.median(delay) <= 8
    assert not np.isnan(delay).any()


def test_a_drift_of_the_whole_model_raises_no_alarm_and_the_change_is_still_seen_later() -> None:
    false, delay = year(1, runs=40, jump=0.10, drift=2.7)
    assert not false.any()
    assert 12 <= np.median(delay) <= 22


def test_a_fixed_reference_alarms_everywhere_under_a_drift_that_same_night_controls_absorb() -> None:
    fixed, _ = year(2, runs=3, jump=0.0, drift=5.0, same_night=False)
    same_night, _ = year(2, runs=3, jump=0.0, drift=5.0)
    assert (fixed > 100).all()
    assert not same_night.any()


def test_a_large_change_is_seen_at_once_and_a_small_one_in_a_minority_of_years() -> None:
    assert np.median(year(3, runs=20, jump=0.30, drift=1.0)[1]) <= 1
    assert np.isnan(year(4, runs=40, jump=0.05, drift=1.0)[1]).mean() > 0.6


@pytest.mark.parametrize("null_rate", [0.01, 0.04, 0.1, 0.2, 0.45])
def test_the_e_value_of_a_night_has_mean_one_at_the_null_rate_and_less_below(null_rate: float) -> None:
    hits = np.arange(ROWS + 1)
    e = np.exp(log_night_e_value(hits, ROWS, null_rate=null_rate))
    np.testing.assert_allclose(binom.pmf(hits, ROWS, null_rate) @ e, 1.0)
    assert binom.pmf(hits, ROWS, 0.8 * null_rate) @ e < 1
    assert binom.pmf(hits, ROWS, min(1.5 * null_rate, 0.9)) @ e > 1


def test_the_e_value_is_the_mean_over_the_alternatives_above_the_null_rate() -> None:
    terms = [(a / 0.1) ** 7 * ((1 - a) / 0.9) ** 33 for a in (0.15, 0.3, 0.5)]
    np.testing.assert_allclose(np.exp(log_night_e_value(7, 40, null_rate=0.1)), np.mean(terms))
    assert (ALTERNATIVES > 0.1).sum() == 3


@pytest.mark.parametrize(("trials", "null_rate"), [(0, 0.04), (40, np.nan), (40, 0.5), (40, 1.4)])
def test_a_night_that_says_nothing_has_e_value_one(trials: int, null_rate: float) -> None:
    assert log_night_e_value(trials, trials, null_rate=null_rate) == pytest.approx(0.0, abs=1e-12)


def test_evidence_is_carried_over_nights_and_debts_are_not() -> None:
    start = np.zeros(2)
    once = ecusum(start, hits_L=[8, 0], trials_L=40, null_rate=0.04)
    twice = ecusum(once, hits_L=[8, 8], trials_L=40, null_rate=0.04)
    assert once[1] < 0
    np.testing.assert_allclose(twice, [2 * once[0], once[0]])


def test_a_level_alarms_at_its_share_of_the_run_length() -> None:
    log_m = np.log([3 * 100 - 1, 3 * 100 + 1, 1])
    assert alarms(log_m, arl=100).tolist() == [False, True, False]


def test_the_null_rate_is_half_again_the_control_rate_plus_a_point() -> None:
    np.testing.assert_allclose(same_night_null_rate([0, 30, 5], [1500, 1500, 0]), [0.01, 0.04, np.nan])


def test_the_first_false_alarm_comes_later_than_the_promised_run_length() -> None:
    """A short run length of 20 nights over 5 levels at exactly the null rate; runs end at 200 nights."""
    rng = np.random.default_rng(5)
    log_m, end = np.zeros((400, 5)), np.full(400, 200.0)
    for night in range(1, 200):
        log_m = ecusum(log_m, hits_L=rng.binomial(ROWS, 0.04, (400, 5)), trials_L=ROWS, null_rate=0.04)
        end = np.where(alarms(log_m, arl=20).any(axis=1), np.minimum(end, night), end)
    assert end.mean() >= 20
