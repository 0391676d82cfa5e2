import numpy as np
import pytest
from scipy.stats import binom, binomtest

from diffbehav.stats.prevalence import exposure_chance, prevalence_bound


@pytest.mark.parametrize(
    ("trials", "percent"),
    [(1500, (0.20, 0.31, 0.67)), (5000, (0.060, 0.092, 0.20)), (50000, (0.006, 0.009, 0.020))],
)
def test_silence_rules_out_the_shares_of_the_planning_table(trials: int, percent: tuple[float, ...]) -> None:
    bound = 100 * prevalence_bound(0, trials, sensitivity=[1.0, 0.65, 0.3], level=0.95)
    np.testing.assert_allclose(bound, percent, rtol=0.03)


@pytest.mark.parametrize("trials", [1, 40, 5000])
def test_silence_gives_the_closed_form(trials: int) -> None:
    closed = (1 - 0.05 ** (1 / trials)) / 0.99
    np.testing.assert_allclose(prevalence_bound(0, trials, sensitivity=0.99, level=0.95), closed, rtol=1e-9)


@pytest.mark.parametrize(("hits", "trials"), [(1, 40), (3, 1500), (20, 21), (40, 40)])
def test_hits_give_scipys_exact_one_sided_bound(hits: int, trials: int) -> None:
    exact = binomtest(hits, trials, alternative="less").proportion_ci(0.95, method="exact").high
    np.testing.assert_allclose(prevalence_bound(hits, trials, sensitivity=1.0, level=0.95), exact, rtol=1e-9)


@pytest.mark.parametrize("share", [0.002, 0.02, 0.3])
def test_the_bound_is_too_low_at_most_once_in_twenty(share: float) -> None:
    hits = np.arange(201)
    bound = prevalence_bound(hits, 200, sensitivity=0.5, level=0.95)
    assert binom.pmf(hits, 200, 0.5 * share) @ (bound < share) <= 0.05


def test_nothing_looked_at_or_nothing_sensed_rules_nothing_out_and_an_unmeasured_sensitivity_stays_missing() -> None:
    assert prevalence_bound(0, 0, sensitivity=1.0, level=0.95) == 1.0
    assert prevalence_bound(0, 1500, sensitivity=0.0, level=0.95) == 1.0
    assert np.isnan(prevalence_bound(0, 1500, sensitivity=np.nan, level=0.95))


def test_random_conditions_meet_a_value_with_the_chance_that_counting_gives() -> None:
    np.testing.assert_allclose(
        exposure_chance([2, 20, 1500, 1], [3, 60, 1500, 1]), [7 / 8, 1 - 0.95**60, 1 - (1499 / 1500) ** 1500, 1]
    )
    assert exposure_chance(1, 0) == 0.0
    assert exposure_chance(1e9, 1) == pytest.approx(1e-9)


def test_the_chance_agrees_with_a_draw() -> None:
    drawn = np.random.default_rng(0).integers(0, 50, (4000, 60))
    assert (drawn == 7).any(axis=1).mean() == pytest.approx(exposure_chance(50, 60), abs=0.03)
