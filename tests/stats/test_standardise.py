import numpy as np
import pytest

from diffbehav.stats.standardise import MATERIAL, standardised


def task_z(score: np.ndarray, *, task_C: np.ndarray) -> np.ndarray:
    return standardised(score[None], task_C=task_C, among_C=np.ones(len(score), bool))[0]


def slow_z(score: np.ndarray, task: np.ndarray) -> np.ndarray:
    x = np.log1p(np.maximum(score, 0))
    medians = {name: np.nanmedian(x[task == name]) for name in set(task)}
    scales = {name: 1.4826 * np.nanmedian(np.abs(x[task == name] - medians[name])) for name in set(task)}
    floor = max(0.25 * np.median(list(scales.values())), MATERIAL)
    return np.array([(value - medians[name]) / (scales[name] + floor) for value, name in zip(x, task, strict=True)])


def test_the_vectorised_z_is_the_slow_one_with_missing_scores_left_missing() -> None:
    rng = np.random.default_rng(0)
    task = rng.choice(["mail", "files", "pay"], 301)
    score = rng.lognormal(size=301) * np.where(task == "pay", 9.0, 1.0) - 0.3
    score[rng.random(301) < 0.1] = np.nan
    np.testing.assert_allclose(task_z(score, task_C=task), slow_z(score, task), rtol=1e-12)


def test_scores_of_zero_everywhere_give_zero_everywhere() -> None:
    np.testing.assert_array_equal(task_z(np.zeros(40), task_C=np.repeat([0, 1], 20)), np.zeros(40))


@pytest.mark.parametrize("value", [1e-6, 1.0, 1e6])
def test_one_value_among_zeros_stands_out_finitely_and_the_rest_stays_at_zero(value: float) -> None:
    score = np.zeros(200)
    score[17] = value
    z = task_z(score, task_C=np.arange(200) % 10)
    assert z[17] == pytest.approx(np.log1p(value) / MATERIAL)
    assert not np.delete(z, 17).any()


def test_noise_in_a_task_that_never_varies_ranks_below_a_jump_in_a_task_that_does() -> None:
    rng = np.random.default_rng(4)
    lively, quiet = rng.exponential(scale=2.0, size=200), np.zeros(200)
    lively[0], quiet[0] = 100.0, 0.005
    z = task_z(np.concatenate([lively, quiet]), task_C=np.repeat([0, 1], 200))
    assert z[0] > 3
    assert z[200] < 0.2


def test_a_task_on_which_nothing_varies_does_not_explode_beside_tasks_that_vary() -> None:
    rng = np.random.default_rng(1)
    score = np.concatenate([rng.exponential(size=300), np.full(100, 0.5)])
    score[-1] = 0.6
    z = task_z(score, task_C=np.arange(400) // 100)
    assert 0 < z[-1] < 2
    assert not z[300:-1].any()


def test_the_offset_and_the_unit_of_a_task_cancel() -> None:
    rng = np.random.default_rng(2)
    x = rng.exponential(size=50)
    tasks = np.repeat([0, 1, 2], 50)
    z = task_z(np.expm1(np.concatenate([x, x + 3.0, x + 1.0])), task_C=tasks)
    np.testing.assert_allclose(z[:50], z[50:100])
    np.testing.assert_allclose(z[:50], z[100:])


def test_a_task_of_few_conditions_is_standardised_by_all_conditions() -> None:
    rng = np.random.default_rng(3)
    x = rng.exponential(size=107)
    task = np.append(np.zeros(100, dtype=int), np.ones(7, dtype=int))
    z = task_z(np.expm1(x), task_C=task)
    scale = 1.4826 * np.median(np.abs(x - np.median(x)))
    own = 1.4826 * np.median(np.abs(x[:100] - np.median(x[:100])))
    np.testing.assert_allclose(z[100:], (x[100:] - np.median(x)) / (scale + max(0.25 * own, MATERIAL)))


def test_nothing_measured_stays_missing() -> None:
    assert np.isnan(task_z(np.full(3, np.nan), task_C=np.zeros(3))).all()
    assert task_z(np.zeros(0), task_C=np.zeros(0)).shape == (0,)
