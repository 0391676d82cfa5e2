import numpy as np
import pytest

from diffbehav.stats.median_polish import median_interval, median_polish, residual_z


def planted(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values, tasks, codes of two factors, and the residuals that were put in."""
    rng = np.random.default_rng(seed)
    task, codes = rng.integers(0, 10, 6000), np.stack([rng.integers(0, 5, 6000), rng.integers(0, 8, 6000)], axis=1)
    residual = 0.1 * rng.normal(size=6000)
    effects = np.array([0.0, 0.0, 0.0, 0.0, 0.5]), np.array([-0.3, *[0.0] * 7])
    value = 3.0 * rng.normal(size=10)[task] + effects[0][codes[:, 0]] + effects[1][codes[:, 1]] + residual
    return value, task, codes, residual


def test_effects_of_levels_and_residuals_are_taken_apart() -> None:
    value, task, codes, residual = planted(0)
    found = median_polish(value, task_C=task, codes_CF=codes, cardinalities_F=[5, 9])
    assert found.effects_F[0] == pytest.approx([0.0, 0.0, 0.0, 0.0, 0.5], abs=0.02)
    assert found.effects_F[1][:8] == pytest.approx([-0.3, *[0.0] * 7], abs=0.02)
    assert np.isnan(found.effects_F[1][8])
    assert np.abs(found.residual_C - residual).max() < 0.05


def test_a_cell_far_above_stays_in_its_residual_and_moves_no_effect() -> None:
    value, task, codes, _ = planted(1)
    cell = (codes[:, 0] == 1) & (codes[:, 1] == 2)
    before = median_polish(value, task_C=task, codes_CF=codes, cardinalities_F=[5, 8])
    after = median_polish(value + 5.0 * cell, task_C=task, codes_CF=codes, cardinalities_F=[5, 8])
    for one, two in zip(before.effects_F, after.effects_F, strict=True):
        assert two == pytest.approx(one, abs=0.06)
    high = residual_z(after.residual_C, task_C=task) > 8.0
    assert (high == cell).all()


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    for n in (6, 25, 400):
        hits = 0
        for _ in range(1000):
            low, high = median_interval(rng.exponential(size=n), level=0.95)
            hits += low <= np.log(2.0) <= high
        assert hits >= 930


def test_too_few_values_leave_the_median_open() -> None:
    assert median_interval(np.array([1.0, 2.0, 3.0]), level=0.95) == (-np.inf, np.inf)
    assert median_interval(np.empty(0), level=0.95) == (-np.inf, np.inf)
