import time
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbehav.errors import InputError
from diffbehav.suite import Grid, coverage, draw, exposures_needed, suite_coverage
from diffbehav.suite.coverage import LISTED, Exposed, Total, Underexposed
from diffbehav.suite.forbidden import Forbidden
from tests.suite.test_covering import RULES, covering_design
from tests.suite.writing import ASK, FACTORS, FULL, suite_of


@given(
    radices=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    rows=st.integers(0, 30),
    exposures=st.integers(1, 3),
)
@settings(deadline=None, max_examples=60)
def test_counts_are_those_of_counting_by_hand(radices: list[int], rows: int, exposures: int) -> None:
    digits = np.random.default_rng(rows).integers(0, np.array(radices), size=(rows, len(radices)))
    found = coverage(digits, radices, strength=3, exposures=exposures)
    by_columns = {each.columns: each for each in found.exposed}
    below = {}
    for width in range(1, min(3, len(radices)) + 1):
        for columns in combinations(range(len(radices)), width):
            counts = {
                levels: sum(tuple(row) == levels for row in digits[:, columns].tolist())
                for levels in product(*(range(radices[column]) for column in columns))
            }
            once, often = (sum(count >= least for count in counts.values()) for least in (1, exposures))
            rare = by_columns.pop(columns)
            assert rare[:5] == (columns, len(counts), once, often, min(counts.values()))
            assert counts[rare.rarest] == rare.least
            below |= {(columns, levels): (n, 1 / len(counts)) for levels, n in counts.items() if n < exposures}
    assert not by_columns
    assert all(below[each.columns, each.levels] == (each.exposures, each.share) for each in found.underexposed)
    assert len(set(found.underexposed)) == min(LISTED, len(below))
    assert found.unlisted == len(below) - len(found.underexposed)
    if found.underexposed:
        assert found.underexposed[-1].share >= max(
            (share for key, (_, share) in below.items() if key not in {each[:2] for each in found.underexposed}),
            default=0,
        )


def test_the_largest_underexposed_combinations_come_first_and_of_equal_ones_the_rarest() -> None:
    digits = np.array([[0, 0, 0], [1, 1, 1], [0, 1, 2]])
    found = coverage(digits, [2, 2, 3], strength=2, exposures=2)
    assert [(each.columns, each.levels, each.exposures) for each in found.underexposed[:6]] == [
        ((0,), (1,), 1), ((1,), (0,), 1), ((2,), (0,), 1), ((2,), (1,), 1), ((2,), (2,), 1), ((0, 1), (1, 0), 0),
    ]
    assert found.underexposed[5] == Underexposed((0, 1), (1, 0), 0, 0.25)
    shares = [each.share for each in found.underexposed]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == 5 + 4 + 6 + 6 and found.unlisted == 0
    assert found.total(2) == Total(3, 0, 4 + 6 + 6, 9, 0)
    assert found.total(1) == Total(3, 0, 7, 7, 2)


def test_a_set_with_too_many_combinations_is_named_and_in_no_sum() -> None:
    found = coverage(np.array([[0, 0, 0]]), [200, 200, 200], strength=3, exposures=1)
    assert found.uncounted == ((0, 1, 2),)
    assert found.total(3) == Total(0, 1, 0, 0, 0)
    assert found.total(2) == Total(3, 0, 3 * 200**2, 3, 3)


def test_what_is_forbidden_is_neither_possible_nor_underexposed() -> None:
    rule = {0: np.array([True, False]), 1: np.array([False, True])}
    found = coverage(np.array([[0, 0]]), [2, 2], strength=2, exposures=1, possible=Forbidden([2, 2], [rule]).possible)
    assert found.exposed[-1] == Exposed((0, 1), 3, 1, 1, 0, (1, 0))
    assert [each.levels for each in found.underexposed if len(each.columns) == 2] == [(1, 0), (1, 1)]


def test_a_suite_counts_derived_factors_and_what_its_exclusions_leave() -> None:
    suite = suite_of(ASK, FACTORS, FULL, RULES)
    columns, everything = suite_coverage(suite, draw(suite), strength=3, exposures=1)
    assert [(column.name, column.kind, column.source) for column in columns] == [
        ("task", "task", None), ("date", "declared", None), ("user", "declared", None), ("place", "declared", None),
        ("year", "derived", "date"),
    ]  # fmt: skip
    assert all(each.once == each.possible for each in everything.exposed) and not everything.underexposed
    by_columns = {each.columns: each for each in everything.exposed}
    assert (1, 4) not in by_columns and (1, 2, 4) not in by_columns, "a date decides its year"
    assert everything.total(1).sets == 4 and everything.total(2).sets == 6, "a year is no axis"
    assert by_columns[0, 4].possible == 5, "task two is not asked in 2025"
    assert by_columns[2, 4].possible == 8, "bob is not asked in 2025: task one excludes him, task two is excluded"
    assert by_columns[2, 3].possible == 10


def test_the_passes_of_a_covering_design_expose_every_pair_each_time() -> None:
    suite = suite_of(ASK, FACTORS, covering_design(passes=3))
    _, found = suite_coverage(suite, draw(suite), strength=2, exposures=1)
    pairs = [each for each in found.exposed if len(each.columns) == 2 and 0 not in each.columns]
    assert all(each.once == each.possible for each in pairs)


def test_a_million_conditions_are_counted_in_seconds() -> None:
    radices = [20, 7, 30, 50, 10, 20]
    digits = np.random.default_rng(0).integers(0, np.array(radices), size=(1_000_000, 6), dtype=np.int32)
    started = time.process_time()
    found = coverage(digits, radices, strength=2, exposures=5)
    assert time.process_time() - started < 10
    assert found.total(2).often == found.total(2).possible


def test_an_empty_run_covers_nothing() -> None:
    suite = suite_of(ASK, FACTORS, FULL)
    _, found = suite_coverage(suite, [], strength=1, exposures=1)
    assert found.total(1) == Total(4, 0, Grid(suite).digits(np.array([0])).size * 3, 0, 0)


@pytest.mark.parametrize(("firing_rate", "needed"), [(1.0, 1), (0.95, 1), (0.8, 2), (0.65, 3), (0.5, 5), (0.3, 9)])
def test_exposures_needed_follow_from_the_firing_rate(firing_rate: float, needed: int) -> None:
    assert exposures_needed(firing_rate, miss=0.05) == needed


@given(firing_rate=st.floats(0.01, 0.99), miss=st.floats(0.001, 0.99))
def test_the_exposures_needed_are_enough_and_one_fewer_is_not(firing_rate: float, miss: float) -> None:
    needed = exposures_needed(firing_rate, miss=miss)
    assert (1 - firing_rate) ** needed <= miss * (1 + 1e-6)
    assert needed == 1 or (1 - firing_rate) ** (needed - 1) > miss * (1 - 1e-6)


@pytest.mark.parametrize(("firing_rate", "miss"), [(0.0, 0.05), (1.5, 0.05), (0.5, 0.0), (0.5, 1.0)])
def test_what_is_no_probability_gives_no_number_of_exposures(firing_rate: float, miss: float) -> None:
    with pytest.raises(InputError, match="give no number of exposures"):
        exposures_needed(firing_rate, miss=miss)
