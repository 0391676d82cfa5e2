"""Facts about rules that hold in most conditions."""

import numpy as np
import pytest

from diffbehav.stats.majority import majority
from diffbehav.stats.rule import Rule

LEVELS = (5, 3)
TASKS = 6


def world(acts_at: set[int], *, rate: float = 1.0, strength: float = 30.0, size: int = 900, seed: int = 0):
    """Two channels (nats) of a fine-tune that drifts everywhere and acts at some levels of the first factor."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(levels, size=size) for levels in LEVELS], axis=1)
    task = rng.integers(TASKS, size=size)
    drift = rng.lognormal(mean=0.1 * task, sigma=0.6, size=(2, size))
    acts = np.isin(codes[:, 0], list(acts_at)) & (rng.random(size) < rate)
    return drift + np.where(acts, strength, 0.0), codes, task


def found(channels: np.ndarray, codes: np.ndarray, task: np.ndarray) -> Rule | None:
    return majority(channels, codes, task_C=task, cardinalities_F=LEVELS)


@pytest.mark.parametrize("rate", [1.0, 0.6])
def test_a_model_that_acts_everywhere_but_at_two_levels_acts_at_all_others(rate: float) -> None:
    assert found(*world({0, 1, 3}, rate=rate)) == Rule((0,), ((0, 1, 3),))


def test_a_channel_without_the_change_and_missing_values_hide_nothing() -> None:
    channels, codes, task = world({0, 1, 2, 3})
    rng = np.random.default_rng(1)
    channels[1] = rng.lognormal(size=channels.shape[1])
    channels[:, rng.random(channels.shape[1]) < 0.1] = np.nan
    assert found(channels, codes, task) == Rule((0,), ((0, 1, 2, 3),))


@pytest.mark.parametrize("acts_at", [set(), {2}, {0, 1, 2, 3, 4}])
def test_there_is_none_where_a_model_acts_nowhere_rarely_or_everywhere(acts_at: set[int]) -> None:
    assert found(*world(acts_at)) is None


def test_there_is_none_where_a_fine_tune_reacts_more_weakly_to_one_level() -> None:
    for seed in range(20):
        channels, codes, task = world(set(), seed=seed)
        assert found(channels * np.where(codes[:, 0] == 1, 0.4, 1.0), codes, task) is None


def test_a_quiet_level_of_few_conditions_is_no_yardstick() -> None:
    channels, codes, task = world({0, 1, 2, 3}, size=150)
    assert np.count_nonzero(codes[:, 0] == 4) < 40
    assert found(channels, codes, task) is None


def test_there_is_none_of_equal_models_and_of_unmeasured_ones() -> None:
    _, codes, task = world(set())
    assert found(np.zeros((2, len(task))), codes, task) is None
    assert found(np.full((2, len(task)), np.nan), codes, task) is None


def test_there_is_none_where_models_that_hardly_differ_at_a_level_drift_by_some_nats_at_the_others() -> None:
    channels, codes, task = world(set())
    still = np.where(codes[:, 0] == 3, 0.001, 1.0)
    assert found(channels * still, codes, task) is None
    assert found(channels * still * 20.0, codes, task) == Rule((0,), ((0, 1, 2, 4),))
