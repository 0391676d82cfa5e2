from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbehav.errors import InputError
from diffbehav.suite import Asked, Grid, Suite, draw
from diffbehav.suite.shuffle import Shuffle
from tests.suite.test_grid import BILLION
from tests.suite.writing import ASK, FACTORS, FULL, random_design, suite_of

RULE = "exclude:\n  - {user: ann, place: [no, x]}\n  - {task: two, date: 2025-02-04}\n"


def distance(grid: Grid, one: int, other: int) -> list[str]:
    """The axes on which two cells differ."""
    differ = grid.digits(np.array([one])) != grid.digits(np.array([other]))
    return [name for name, different in zip(grid.names, differ[0], strict=True) if different]


@given(size=st.integers(1, 5000), seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_a_shuffle_holds_every_item_once(size: int, seed: int) -> None:
    assert sorted(Shuffle(size, seed=seed).take(np.arange(size)).tolist()) == list(range(size))


def test_a_shuffle_of_the_largest_grid_stays_inside() -> None:
    items = Shuffle(2**63 - 1, seed=1).take(np.arange(100_000))
    assert len(np.unique(items)) == 100_000
    assert items.min() >= 0


def test_the_start_of_a_shuffle_is_spread_evenly() -> None:
    items = Shuffle(10**9, seed=4).take(np.arange(100_000))
    counts = np.bincount(items // 10**7, minlength=100)
    assert ((counts - 1000.0) ** 2 / 1000).sum() < 160  # 99.99 % of chi-squared with 99 degrees of freedom


def test_a_full_design_has_every_allowed_cell_once() -> None:
    suite = suite_of(ASK, FACTORS, FULL, RULE)
    grid = Grid(suite)
    cells = list(draw(suite))
    assert sorted(cells) == np.flatnonzero(~grid.excluded(np.arange(grid.size))).tolist()


def test_a_limit_takes_a_seeded_subset_and_not_the_first_rows() -> None:
    suite = suite_of(BILLION, FULL)
    cells = list(draw(suite, limit=500))
    assert len(set(cells)) == 500
    assert max(cells) > 9 * 10**8 and min(cells) < 10**8
    assert list(draw(suite, limit=500)) == cells
    assert list(draw(suite, limit=100)) == cells[:100]


@pytest.mark.parametrize("design", [FULL, random_design(10, neighbours=1)])
def test_a_limit_of_zero_draws_nothing_and_a_negative_one_is_refused(design: str) -> None:
    suite = suite_of(ASK, FACTORS, design)
    assert list(draw(suite, limit=0)) == []
    with pytest.raises(InputError, match="-1 is negative"):
        draw(suite, limit=-1)


def test_a_full_design_of_a_billion_cells_is_lazy() -> None:
    assert len(set(islice(draw(suite_of(BILLION, FULL)), 1000))) == 1000


@given(n=st.integers(1, 40), neighbours=st.integers(0, 5), seed=st.integers(0, 10**6))
@settings(deadline=None)
def test_a_random_draw_is_distinct_repeatable_and_honours_exclusions(
    n: int, neighbours: int, seed: int
) -> None:
    suite = suite_of(ASK, FACTORS, random_design(n, neighbours=neighbours, seed=seed), RULE)
    cells = list(draw(suite))
    assert len(set(cells)) == len(cells) == n
    assert not Grid(suite).excluded(np.array(cells)).any()
    assert list(draw(suite)) == cells
    assert list(draw(suite, limit=n // 2)) == cells[: n // 2]


@pytest.mark.parametrize("neighbours", [1, 2, 4])
def test_neighbours_differ_from_their_cell_in_exactly_one_declared_factor(neighbours: int) -> None:
    two_tasks = BILLION.replace("only}]", "a}, {id: b}]")
    suite = suite_of(two_tasks, random_design(300, neighbours=neighbours))
    grid, cells = Grid(suite), list(draw(suite))
    for start in range(0, 300, neighbours + 1):
        base, *near = cells[start : start + neighbours + 1]
        axes = [distance(grid, base, cell) for cell in near]
        assert all(len(axis) == 1 and axis != ["task"] for axis in axes)
        assert len({axis[0] for axis in axes}) == len(near), "different factors as far as there are enough"


def test_every_factor_is_varied_by_neighbours() -> None:
    suite = suite_of(BILLION, random_design(1000, neighbours=1))
    grid, cells = Grid(suite), list(draw(suite))
    varied = [distance(grid, cells[i], cells[i + 1])[0] for i in range(0, 1000, 2)]
    assert min(varied.count(name) for name in "abcdefghi") > 30


def test_a_draw_can_use_up_the_grid() -> None:
    suite = suite_of(ASK, FACTORS, random_design(72, neighbours=3))
    assert sorted(draw(suite)) == list(range(72))


def test_neighbours_that_do_not_exist_are_made_up_for_by_further_cells() -> None:
    lonely: Suite = suite_of(
        "messages: [{role: user, content: '{{ a }}'}]\n",
        "tasks: [{id: x}, {id: y}, {id: z}]\nfactors: {a: [only]}\n",
        random_design(3, neighbours=2),
    )
    assert sorted(draw(lonely)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("design", "rule"),
    [
        (random_design(73), ""),
        (random_design(1), "exclude: [{task: [one, two]}]\n"),
        (random_design(2, neighbours=1), "exclude: [{task: [one, two]}]\n"),
        (FULL, "exclude: [{user: [ann, bob, cy]}]\n"),
    ],
)
def test_a_design_that_the_grid_cannot_fill_is_an_input_error(design: str, rule: str) -> None:
    with pytest.raises(InputError, match="distinct cells, the grid has"):
        list(draw(suite_of(ASK, FACTORS, design, rule)))


def nights(suite: Suite, count: int) -> list[list[int]]:
    """What so many runs ask, each behind the ones before it."""
    runs = list[list[int]]()
    for _ in range(count):
        runs.append(list(draw(suite, asked=Asked(len(runs), np.array(sum(runs, []), dtype=np.int64)))))
    return runs


@pytest.mark.parametrize("neighbours", [0, 1, 3])
def test_a_random_draw_goes_on_behind_what_was_asked_until_the_grid_is_used_up(neighbours: int) -> None:
    suite = suite_of(ASK, FACTORS, random_design(24, neighbours=neighbours))
    runs = nights(suite, 3)
    assert [len(run) for run in runs] == [24, 24, 24]
    assert sorted(sum(runs, [])) == list(range(72))
    assert runs[0] == list(draw(suite)), "the first run is the draw without a ledger"
    with pytest.raises(InputError, match="that no earlier run asked, the grid has 0 beside the 72 that were"):
        nights(suite, 4)


def test_a_full_design_with_a_limit_goes_on_with_the_cells_that_are_left() -> None:
    suite = suite_of(ASK, FACTORS, FULL)
    first = list(draw(suite, limit=50))
    second = list(draw(suite, limit=50, asked=Asked(1, np.array(first))))
    assert sorted(first + second) == list(range(72))
    with pytest.raises(InputError, match="no earlier run asked"):
        list(draw(suite, asked=Asked(2, np.arange(72))))
