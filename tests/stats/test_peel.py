import numpy as np
import pytest

from diffbehav.stats.intervals import clopper_pearson
from diffbehav.stats.peel import RuleEffect, peel
from diffbehav.stats.rule import Rule, matches
from diffbehav.stats.scan import scan
from tests.stats.planted_grid import Grid, planted

SIZES = (20, 5, 12, 20, 10, 20)
SEEDS = range(4)


def peeled(grid: Grid, *, max_rules: int = 6) -> list[RuleEffect]:
    return peel(
        grid.codes_CF,
        cardinalities_F=grid.cardinalities_F,
        score_C=grid.score_C,
        task_C=np.arange(len(grid.score_C)) % 24,
        max_rules=max_rules,
        interval_level=0.95,
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("sizes", "rule", "rate"),
    [
        ((8, 6, 12, 10, 5, 20), Rule((1,), ((2,),)), 0.9),
        ((8, 2, 12, 10, 5, 20), Rule((1,), ((1,),)), 0.9),
        (SIZES, Rule((1, 4), ((2,), (3,))), 0.9),
        (SIZES, Rule((1, 4), ((2,), (3,))), 0.5),
        (SIZES, Rule((0,), ((15, 16, 17, 18, 19),)), 0.9),
        ((5, 7, 5, 10, 5), Rule((0, 2, 4), ((1,), (2,), (3,))), 0.9),
        ((20, 7, 5, 10, 20), Rule((0, 2), ((15, 16, 17, 18, 19), (1,))), 0.9),
    ],
    ids=["1 of 6", "1 of 2", "pair", "weak pair", "interval", "triple", "interval and level"],
)
def test_the_planted_rule_comes_first_exactly(seed: int, sizes: tuple[int, ...], rule: Rule, rate: float) -> None:
    grid = planted(seed, 4000, sizes, {rule: rate})
    effects = peeled(grid)
    assert effects[0].candidate.rule == rule
    assert 0.4 * rate < effects[0].effect < rate + 0.1
    assert all(effect.effect < 0.2 or effect.inside < 10 for effect in effects[1:])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rate", [0.3, 0.9])
def test_a_year_explains_its_dates_away(seed: int, rate: float) -> None:
    year = Rule((4,), ((3,),))
    effects = peeled(planted(seed, 2400, (60, 5, 12, 20), {year: rate}, per_year=10))
    assert effects[0].candidate.rule == year
    assert not any(effect.candidate.rule.factors[0] in (0, 4) for effect in effects[1:])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_single_date_is_not_blown_up_to_its_year(seed: int) -> None:
    date = Rule((0,), ((7,),))
    assert peeled(planted(seed, 2400, (60, 5, 12, 20), {date: 0.9}, per_year=10))[0].candidate.rule == date


@pytest.mark.parametrize("seed", SEEDS)
def test_two_rules_are_found_one_after_the_other(seed: int) -> None:
    rules = {Rule((1,), ((2,),)): 0.9, Rule((3, 4), ((5,), (6,))): 0.9}
    effects = peeled(planted(seed, 4000, SIZES, rules))
    assert {effect.candidate.rule for effect in effects[:2]} == set(rules)


def test_noise_gives_few_rules_and_none_with_an_effect() -> None:
    found = [effect for seed in range(25) for effect in peeled(planted(seed, 2400, SIZES, {}))]
    assert len(found) <= 8
    assert all(effect.candidate.log_tail > -30 for effect in found)


def test_a_rule_of_which_chance_makes_one_of_its_shape_is_not_taken_however_liberal_the_threshold() -> None:
    grid = planted(0, 2400, SIZES, {})
    liberal = scan(grid.codes_CF, cardinalities_F=SIZES, score_C=grid.score_C, threshold=-5.0)
    assert len(liberal) > 10
    effects = peel(
        grid.codes_CF, cardinalities_F=SIZES, score_C=grid.score_C, task_C=np.zeros(2400, int), max_rules=6,
        interval_level=0.95, threshold=-5.0,
    )  # fmt: skip
    assert all(effect.candidate.log_score < 0 for effect in effects)


def test_a_factor_with_one_level_is_added_to_no_rule() -> None:
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(10, size=1000), np.zeros(1000, int)], axis=1)
    score = rng.normal(size=1000) + 6 * (codes[:, 0] == 3)
    best, *_ = peel(
        codes, cardinalities_F=[10, 1], score_C=score, task_C=rng.integers(5, size=1000), max_rules=5,
        interval_level=0.95,
    )  # fmt: skip
    assert best.candidate.rule == Rule((0,), ((3,),))


def test_the_effect_counts_flags_above_the_quantile_outside() -> None:
    rule = Rule((1,), ((2,),))
    grid = planted(0, 4000, SIZES, {rule: 0.9})
    (effect,) = peeled(grid, max_rules=1)
    inside = matches(rule, grid.codes_CF)
    flagged = grid.score_C > effect.tau
    assert effect.inside == inside.sum()
    assert effect.flagged == flagged[inside].sum()
    assert effect.rate_outside == flagged[~inside].mean() == pytest.approx(0.005, abs=1e-3)
    assert effect.effect == effect.rate_inside - effect.rate_outside
    low, high = clopper_pearson(effect.flagged, effect.inside, level=0.95)
    assert (effect.rate_low, effect.rate_high) == (low, high)


@pytest.mark.parametrize("background", [0.0, 0.01, 0.04, 0.1])
def test_a_score_of_only_two_values_has_the_effect_of_its_rates(background: float) -> None:
    rng = np.random.default_rng(4)
    codes = np.stack([rng.integers(0, size, 3000) for size in (8, 6, 12)], axis=1)
    inside = codes[:, 0] == 2
    score = (rng.random(3000) < np.where(inside, 0.9, background)).astype(float)
    (effect,) = peeled(Grid(codes, (8, 6, 12), score))
    assert effect.candidate.rule == Rule((0,), ((2,),))
    assert effect.rate_inside == score[inside].mean()
    assert effect.rate_outside == score[~inside].mean()


@pytest.mark.parametrize("score", [np.zeros(300), np.full(300, np.nan)], ids=["equal models", "not measured"])
def test_nothing_to_see_gives_no_rule(score: np.ndarray) -> None:
    assert peeled(Grid(np.arange(600).reshape(300, 2) % 3, (3, 3), score)) == []


def test_the_inputs_are_not_changed_and_the_number_of_rules_is_kept() -> None:
    grid = planted(0, 2400, SIZES, {Rule((1,), ((2,),)): 0.9, Rule((3,), ((5,),)): 0.9})
    before = grid.score_C.copy()
    assert len(peeled(grid, max_rules=1)) == 1
    assert peeled(grid, max_rules=0) == []
    np.testing.assert_array_equal(grid.score_C, before)


@pytest.mark.parametrize("seed", range(8))
def test_a_trigger_that_acts_in_few_tasks_is_not_narrowed_to_levels_that_hold_more_of_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = (6, 8, 4, 4, 3, 4, 4)
    codes = np.stack([rng.integers(0, size, 1600) for size in sizes], axis=1)
    task = rng.integers(0, 24, 1600)
    rarely = (codes[:, 2] == 0) & (task < 5) & (rng.random(1600) < 0.9)
    task[rarely] = rng.integers(5, 24, rarely.sum())
    score = rng.standard_t(3, 1600)
    score[(codes[:, 0] == 2) & (task < 5)] += 40.0
    (effect, *_) = peel(
        codes, cardinalities_F=sizes, score_C=score, task_C=task, max_rules=3, interval_level=0.95
    )
    assert effect.candidate.rule == Rule((0,), ((2,),))


def test_a_rule_of_all_levels_but_one_is_found_where_it_is_named_though_no_level_stands_out() -> None:
    rng = np.random.default_rng(2)
    codes = np.stack([rng.integers(size, size=2000) for size in (10, 6)], axis=1)
    inside = codes[:, 0] != 4
    score = rng.normal(size=2000) + 6.0 * (inside & (rng.random(2000) < 0.3))
    rule = Rule((0,), ((0, 1, 2, 3, 5, 6, 7, 8, 9),))
    given = {"cardinalities_F": (10, 6), "score_C": score, "task_C": np.arange(2000) % 24, "max_rules": 3}
    assert peel(codes, interval_level=0.95, **given) == []
    (found,) = peel(codes, interval_level=0.95, starts=[rule], **given)
    assert found.candidate.rule == rule
    assert found.effect == pytest.approx(0.3, abs=0.05)
