import numpy as np
import pytest
from scipy.stats import binom

from diffbehav.stats import scan as scan_module
from diffbehav.stats.rule import Rule, log_rules, matches
from diffbehav.stats.scan import Candidate, scan
from tests.stats.planted_grid import Grid, planted

SIZES = (8, 5, 12, 20, 10, 20)


def best(grid: Grid) -> Candidate:
    return scan(grid.codes_CF, cardinalities_F=grid.cardinalities_F, score_C=grid.score_C)[0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("sizes", "rule", "rate"),
    [
        (SIZES, Rule((1, 4), ((2,), (3,))), 0.9),
        ((8, 6, 12, 10, 5, 20), Rule((1,), ((2,),)), 0.9),
        (SIZES, Rule((3,), ((7,),)), 0.9),
    ],
    ids=["a conjunction held by 1 of 50", "a level held by 1 of 6", "a level held by 1 of 20"],
)
def test_the_planted_rule_is_ranked_first(seed: int, sizes: tuple[int, ...], rule: Rule, rate: float) -> None:
    grid = planted(seed, 2400, sizes, {rule: rate})
    found = best(grid)
    assert found.rule == rule
    assert found.n == matches(rule, grid.codes_CF).sum()


@pytest.mark.parametrize("seed", range(6))
def test_a_year_is_ranked_before_the_union_of_its_dates(seed: int) -> None:
    grid = planted(seed, 2400, (60, 5, 12, 20), {Rule((4,), ((3,),)): 0.9}, per_year=10)
    candidates = scan(grid.codes_CF, cardinalities_F=grid.cardinalities_F, score_C=grid.score_C)
    assert candidates[0].rule == Rule((4,), ((3,),))
    assert any(candidate.rule.factors == (0,) for candidate in candidates)
    assert not any(candidate.rule.factors == (0, 4) for candidate in candidates)


@pytest.mark.parametrize("seed", range(25))
def test_noise_alone_stays_far_from_what_a_trigger_reaches(seed: int) -> None:
    grid = planted(seed, 2400, SIZES, {})
    candidates = scan(grid.codes_CF, cardinalities_F=grid.cardinalities_F, score_C=grid.score_C)
    trigger = best(planted(seed, 2400, SIZES, {Rule((1, 4), ((2,), (3,))): 0.5}))
    assert min((candidate.log_tail for candidate in candidates), default=0.0) > trigger.log_tail / 2
    assert all(candidate.log_score > -10 for candidate in candidates)


def test_levels_that_all_carry_the_trigger_are_joined() -> None:
    rule = Rule((3,), ((4, 5, 6),))
    assert best(planted(0, 3000, SIZES, {rule: 0.5})).rule == rule


def test_a_candidate_holds_the_counts_and_the_tail_of_its_own_level() -> None:
    """200 rows, 6 above the 0.97 quantile, 5 of them among the 10 of level 1."""
    code = np.repeat([0, 1], [190, 10])
    score = np.arange(200.0)
    score[[3, 190, 191, 192, 193, 194]] += 1000
    (found, *_) = scan(code[:, None], cardinalities_F=(2,), score_C=score, quantiles=(0.97,))
    assert (found.rule, found.n, found.exceed, found.quantile) == (Rule((0,), ((1,),)), 10, 5, 0.97)
    assert found.log_tail == pytest.approx(binom.logsf(4, 10, 0.03))
    assert found.log_score == pytest.approx(found.log_tail + np.log(2))


def test_missing_scores_take_no_part() -> None:
    grid = planted(1, 2400, SIZES, {Rule((3,), ((7,),)): 0.9})
    score = np.where(np.arange(2400) % 3 == 0, np.nan, grid.score_C)
    found = scan(grid.codes_CF, cardinalities_F=SIZES, score_C=score)[0]
    assert found.rule == Rule((3,), ((7,),))
    assert found.n == (matches(found.rule, grid.codes_CF) & ~np.isnan(score)).sum()


@pytest.mark.parametrize(
    "score", [np.zeros(500), np.full(500, np.nan), np.zeros(0)], ids=["all equal", "all missing", "no rows"]
)
def test_scores_that_say_nothing_give_no_candidates(score: np.ndarray) -> None:
    codes = np.zeros((len(score), 2), dtype=int)
    assert scan(codes, cardinalities_F=(3, 3), score_C=score) == []


@pytest.mark.parametrize("background", [0.0, 0.01, 0.04, 0.1])
def test_a_score_of_only_two_values_still_separates(background: float) -> None:
    rng = np.random.default_rng(4)
    codes = np.stack([rng.integers(0, size, 3000) for size in (8, 6, 12)], axis=1)
    score = (rng.random(3000) < np.where(codes[:, 0] == 2, 0.9, background)).astype(float)
    assert scan(codes, cardinalities_F=(8, 6, 12), score_C=score)[0].rule == Rule((0,), ((2,),))


def test_two_values_without_a_trigger_are_judged_by_their_actual_share() -> None:
    rng = np.random.default_rng(5)
    codes = np.stack([rng.integers(0, size, 3000) for size in (8, 6, 12)], axis=1)
    score = (rng.random(3000) < 0.3).astype(float)
    assert all(found.log_score > -5 for found in scan(codes, cardinalities_F=(8, 6, 12), score_C=score))


def test_many_cells_are_counted_alike_whether_all_or_only_those_that_occur(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = planted(2, 2400, (90, 80, 7), {Rule((0, 2), ((3,), (1,))): 0.9})
    dense = scan(grid.codes_CF, cardinalities_F=grid.cardinalities_F, score_C=grid.score_C)
    monkeypatch.setattr(scan_module, "DENSE_CELLS", 1)
    assert scan(grid.codes_CF, cardinalities_F=grid.cardinalities_F, score_C=grid.score_C) == dense


def test_the_number_of_rules_of_a_shape_is_counted() -> None:
    assert np.exp(log_rules(Rule((0, 2), ((1,), (0, 3))), cardinalities_F=(4, 9, 5))) == pytest.approx(3 * 4 * 10)
    assert np.exp(log_rules(Rule((0, 2), ((1,), (0, 3))), cardinalities_F=(4, 1, 5))) == pytest.approx(4 * 10)
    assert np.exp(log_rules(Rule((0, 1), ((1,), (0,))), cardinalities_F=(4, 1, 5))) == pytest.approx(2 * 4)
