from itertools import permutations

import numpy as np
import pytest
from scipy.stats import kstest

from diffbehav.stats.permutation import LevelTests, level_tests, savage_scores

SIZES = (6, 4, 10)


def display(codes: np.ndarray, score: np.ndarray, task: np.ndarray, seed: int, draws: int = 99) -> LevelTests:
    return level_tests(
        codes, cardinalities_F=SIZES, score_C=score, task_C=task, permutations=draws, rng=np.random.default_rng(seed)
    )


def null(seed: int, rows: int = 160) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heavy-tailed scores, more spread on some tasks than on others, and factors without any effect."""
    rng = np.random.default_rng(seed)
    task = rng.integers(0, 8, rows)
    codes = np.stack([rng.integers(0, size, rows) for size in SIZES], axis=1)
    return codes, rng.standard_t(2, rows) * (1 + task), task


def test_under_the_null_the_maximum_keeps_its_size_and_single_levels_are_uniform() -> None:
    worlds = 1000
    found = [display(*null(seed, rows=100), seed, draws=49) for seed in range(worlds)]
    smallest = np.array([tests.p_max_L.min() for tests in found])
    for size in (0.06, 0.1, 0.2):
        assert abs((smallest <= size).mean() - size) <= 2.5 * np.sqrt(size * (1 - size) / worlds)
    assert kstest([tests.p_L[3] for tests in found], "uniform").pvalue > 0.001


def test_a_planted_level_is_found_alone() -> None:
    codes, score, task = null(0, rows=600)
    score = score + 12 * (codes[:, 1] == 2)
    tests = display(codes, score, task, 1)
    (low,) = np.flatnonzero(tests.p_max_L <= 0.05)
    assert (tests.factor_L[low], tests.level_L[low]) == (1, 2)
    assert tests.n_L[low] == (codes[:, 1] == 2).sum()
    assert tests.statistic_L[low] > 5


def test_a_task_that_is_high_as_a_whole_makes_its_levels_no_suspects() -> None:
    rng = np.random.default_rng(2)
    task = np.repeat([0, 1], 200)
    codes = np.stack([rng.integers(0, size, 400) for size in SIZES], axis=1)
    codes[:, 0] = np.where(task == 1, rng.integers(3, 6, 400), rng.integers(0, 3, 400))
    tests = display(codes, rng.normal(size=400) + 9 * task, task, 3)
    assert tests.p_max_L.min() > 0.05


def test_no_p_value_is_zero_and_the_maximum_never_beats_the_level_alone() -> None:
    codes, score, task = null(1, rows=400)
    tests = display(codes, score + 1e6 * (codes[:, 0] == 0), task, 4, draws=19)
    assert tests.p_L.min() == tests.p_max_L.min() == 1 / 20
    assert (tests.p_max_L >= tests.p_L).all()


def test_many_draws_come_to_the_exact_p_value_of_all_orders() -> None:
    """Two tasks of three conditions: 36 orders, all of them equally likely."""
    score, task = np.array([5.0, 1.0, 2.0, 3.0, 9.0, 4.0]), np.array([0, 0, 0, 1, 1, 1])
    level = np.array([1, 0, 0, 0, 1, 0])
    weight = savage_scores(score)
    orders = [(*a, *b) for a in permutations(range(3)) for b in permutations(range(3, 6))]
    sums = np.array([weight[list(order)][level == 1].sum() for order in orders])
    exact = (sums >= weight[level == 1].sum() - 1e-12).mean()
    tests = level_tests(
        level[:, None],
        cardinalities_F=(2,),
        score_C=score,
        task_C=task,
        permutations=3999,
        rng=np.random.default_rng(0),
    )
    assert tests.p_L[1] == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 4000))


def test_the_scores_are_hand_worked_and_ties_share_their_mean() -> None:
    thirds = np.array([1 / 3, 1 / 3 + 1 / 2, 1 / 3 + 1 / 2 + 1]) - 1
    np.testing.assert_allclose(savage_scores(np.array([7.0, -1.0, 2.0])), thirds[[2, 0, 1]])
    np.testing.assert_allclose(savage_scores(np.array([5.0, 5.0, 2.0])), [thirds[1:].mean()] * 2 + [thirds[0]])
    assert savage_scores(np.random.default_rng(0).normal(size=999)).mean() == pytest.approx(0, abs=1e-12)


def test_only_the_order_of_the_scores_matters_and_missing_ones_take_no_part() -> None:
    codes, score, task = null(5)
    score[::7] = np.nan
    tests = display(codes, score, task, 6)
    measured = ~np.isnan(score)
    without = display(codes[measured], np.arctan(score[measured]), task[measured], 6)
    for with_missing, alone in zip(tests, without, strict=True):
        np.testing.assert_array_equal(with_missing, alone)


def test_a_level_that_shuffling_cannot_move_is_not_display() -> None:
    codes, score, task = null(7)
    codes[:, 1] = task // 2
    codes[codes[:, 2] == 9, 2] = 0
    tests = display(codes, score, task, 8)
    stuck = (tests.factor_L == 1) | (tests.n_L == 0)
    assert stuck.sum() == 5
    for column in (tests.statistic_L, tests.p_L, tests.p_max_L):
        np.testing.assert_array_equal(np.isnan(column), stuck)


@pytest.mark.parametrize("score", [np.zeros(20), np.full(20, np.nan)], ids=["all equal", "all missing"])
def test_scores_that_say_nothing_are_not_display(score: np.ndarray) -> None:
    codes = np.arange(60).reshape(20, 3) % 4
    assert np.isnan(display(codes, score, np.zeros(20), 0).p_L).all()


def test_one_seed_gives_one_result() -> None:
    codes, score, task = null(9)
    first, second = display(codes, score, task, 10), display(codes, score, task, 10)
    np.testing.assert_array_equal(first.p_max_L, second.p_max_L)
