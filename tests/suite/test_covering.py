import time
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbehav.errors import InputError
from diffbehav.suite import Asked, Grid, Passes, Suite, draw
from diffbehav.suite.covering import completed, covering_array, filled, relabel
from diffbehav.suite.forbidden import OPEN, Forbidden, Rule
from diffbehav.suite.model import CoveringDesign
from tests.suite.writing import ASK, FACTORS, suite_of

LARGE = [20, 7, 30, 50, 10, 20]
RULES = """
derived: {year: {from: date, part: year}}
exclude:
  - {user: ann, place: [no, x]}
  - {task: two, year: 2025}
  - {task: one, year: 2025, user: bob}
"""


def array_of(radices: list[int], *, strength: int, rules: tuple[Rule, ...] = (), seed: int = 0) -> np.ndarray:
    forbidden = Forbidden(radices, rules)
    return covering_array(radices, strength=strength, forbidden=forbidden, rng=np.random.default_rng(seed))


def covering_design(*, strength: int = 2, passes: int = 1, seed: int = 5) -> str:
    return f"design: {{kind: covering, strength: {strength}, passes: {passes}, seed: {seed}}}\n"


def held(rows: np.ndarray, strength: int) -> set[tuple[tuple[int, int], ...]]:
    """Every combination of `strength` levels that a row has, as ((column, level), ...)."""
    return {at for row in set(map(tuple, rows.tolist())) for at in combinations(enumerate(row), strength)}


def allowed_rows(radices: list[int], rules: tuple[Rule, ...]) -> np.ndarray:
    rows = np.array(list(product(*map(range, radices))))
    hit = [any(all(mask[row[column]] for column, mask in rule.items()) for rule in rules) for row in rows]
    return rows[~np.array(hit)]


@st.composite
def constrained(draw: st.DrawFn) -> tuple[list[int], tuple[Rule, ...]]:
    radices = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    rules = []
    for _ in range(draw(st.integers(0, 5))):
        columns = draw(st.sets(st.integers(0, len(radices) - 1), min_size=1, max_size=3))
        masks = {c: draw(st.lists(st.booleans(), min_size=radices[c], max_size=radices[c])) for c in sorted(columns)}
        rules.append({column: np.array(mask) for column, mask in masks.items()})
    return radices, tuple(rules)


@given(case=constrained(), strength=st.integers(1, 3), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=150)
def test_every_combination_that_an_allowed_row_can_hold_is_covered_and_no_forbidden_row_occurs(
    case: tuple[list[int], tuple[Rule, ...]], strength: int, seed: int
) -> None:
    radices, rules = case
    allowed = allowed_rows(radices, rules)
    if not len(allowed):
        with pytest.raises(InputError, match=r"exclude\[\d\].* together forbid every cell"):
            Forbidden(radices, rules)
        return
    rows = array_of(radices, strength=strength, rules=rules, seed=seed)
    assert set(map(tuple, rows.tolist())) <= set(map(tuple, allowed.tolist()))
    assert held(rows, min(strength, len(radices))) == held(allowed, min(strength, len(radices)))


@given(case=constrained(), data=st.data())
@settings(deadline=None, max_examples=100)
def test_a_partial_row_that_no_rule_forbids_can_be_completed(
    case: tuple[list[int], tuple[Rule, ...]], data: st.DataObject
) -> None:
    radices, rules = case
    allowed = allowed_rows(radices, rules)
    if not len(allowed):
        return
    forbidden = Forbidden(radices, rules)
    partial = np.array([data.draw(st.integers(OPEN, radix - 1)) for radix in radices])
    can = ((allowed == partial) | (partial == OPEN)).all(axis=1).any()
    assert forbidden.hits(partial[None])[0] == (not can)
    if can:
        every = range(len(radices))
        rng = np.random.default_rng(1)
        row = filled(partial[None], np.zeros((1, len(radices)), int), columns=every, forbidden=forbidden, rng=rng)
        assert row[0].tolist() in allowed.tolist()


@given(radices=st.lists(st.integers(1, 4), min_size=1, max_size=5), strength=st.integers(1, 3), start=st.integers(0, 8))
@settings(deadline=None, max_examples=60)
def test_rows_that_cover_something_are_completed_and_kept(radices: list[int], strength: int, start: int) -> None:
    rng = np.random.default_rng(start)
    rows = rng.integers(0, np.array(radices, dtype=int), size=(start, len(radices))).astype(np.int32)
    whole = completed(rows, strength=strength, forbidden=Forbidden(radices, ()), rng=rng)
    assert whole[:start].tolist() == rows.tolist()
    width = min(strength, len(radices))
    assert held(whole, width) == held(allowed_rows(radices, ()), width)


@pytest.mark.parametrize(("strength", "rows", "seconds"), [(2, 1510, 1), (3, 31_000, 15)])
def test_six_factors_of_usual_size_take_hardly_more_rows_than_any_array_must(
    strength: int, rows: int, seconds: int
) -> None:
    started = time.process_time()
    array = array_of(LARGE, strength=strength)
    assert time.process_time() - started < seconds
    assert len(array) <= rows
    for columns in combinations(range(6), strength):
        sizes = [LARGE[column] for column in columns]
        code = np.ravel_multi_index(tuple(array[:, column] for column in columns), sizes)
        assert len(np.unique(code)) == np.prod(sizes)


def test_renamed_levels_cover_again_in_other_rows() -> None:
    array = array_of([5, 1, 4, 3], strength=2)
    again = relabel(array, rng=np.random.default_rng(3))
    assert held(again, 2) == held(array, 2)
    assert set(map(tuple, again.tolist())) != set(map(tuple, array.tolist()))


def test_one_factor_takes_one_row_a_level_and_no_factor_one_row() -> None:
    assert sorted(array_of([3], strength=2)[:, 0].tolist()) == [0, 1, 2]
    assert array_of([], strength=2).shape == (1, 0)


def test_too_many_rows_are_refused_before_they_are_made() -> None:
    with pytest.raises(InputError, match="takes at least 27,000,000 rows"):
        array_of([300, 300, 300, 2], strength=3)


def test_exclusions_that_leave_nothing_are_named() -> None:
    text = "exclude:\n  - {place: x, user: ann}\n  - {user: [ann, bob]}\n  - {task: one, user: cy}\n  - {task: two}\n"
    suite = suite_of(ASK, FACTORS, covering_design(), text)
    with pytest.raises(InputError, match=r"exclude\[1\], exclude\[2\], exclude\[3\] together forbid every cell"):
        next(draw(suite))


def allowed_digits(suite: Suite) -> np.ndarray:
    grid = Grid(suite)
    every = np.arange(grid.size)
    return grid.digits(every[~grid.excluded(every)])[:, 1:]


@pytest.mark.parametrize("strength", [2, 3])
@pytest.mark.parametrize("rules", ["", RULES])
def test_each_pass_covers_what_the_exclusions_leave_and_passes_differ(strength: int, rules: str) -> None:
    suite = suite_of(ASK, FACTORS, covering_design(strength=strength, passes=3), rules)
    assert isinstance(suite.design, CoveringDesign)
    grid, passes = Grid(suite), Passes(suite, suite.design)
    drawn = [passes.take(number) for number in range(3)]
    for cells in drawn:
        assert not grid.excluded(cells).any()
        assert held(grid.digits(cells)[:, 1:], strength) == held(allowed_digits(suite), strength)
    assert len({tuple(sorted(cells.tolist())) for cells in drawn}) == 3


def test_a_covering_draw_goes_pass_by_pass_without_repeats_and_a_limit_takes_its_start() -> None:
    suite = suite_of(ASK, FACTORS, covering_design(passes=4), RULES)
    assert isinstance(suite.design, CoveringDesign)
    passes = Passes(suite, suite.design)
    cells = list(draw(suite))
    assert cells == list(dict.fromkeys(np.concatenate([passes.take(number) for number in range(4)]).tolist()))
    assert list(draw(suite, limit=7)) == cells[:7]
    assert list(draw(suite_of(ASK, FACTORS, covering_design(passes=1), RULES))) == passes.take(0).tolist()


def test_exclusions_of_every_task_with_tools_of_its_own_are_taken_together() -> None:
    tools, rng = [f"t{i}" for i in range(20)], np.random.default_rng(2)
    asked = "messages: [{role: user, content: '{{ a }} {{ p | join }}'}]\ntasks:\n"
    asked += "".join(f"  - {{id: x{i}}}\n" for i in range(24))
    factors = f"factors:\n  a: [1, 2, 3]\n  p: {{levels: [{', '.join(tools)}], pooled: true, exclusive: 0.2}}\n"
    own = [(task, tool) for task in range(24) for tool in rng.choice(tools, size=3, replace=False)]
    rules = "exclude:\n" + "".join(f"  - {{task: x{task}, p.{tool}: present}}\n" for task, tool in own)
    suite = suite_of(asked, factors, covering_design(strength=3, passes=1), rules)
    cells = np.array(list(draw(suite)))
    assert not Grid(suite).excluded(cells).any()
    pairs = held(Grid(suite).digits(cells)[:, 1:], 2)
    assert len(pairs) == 20 * 19 // 2 * 4 + 3 * 20 * 2


def test_tasks_are_dealt_out_equally_even_where_a_level_forbids_some() -> None:
    asked = "messages: [{role: user, content: '{{ a }}'}]\ntasks: [{id: x}, {id: y}, {id: z}]\n"
    factors = f"factors: {{a: {list(range(12))}, b: {list(range(9))}}}\n"
    suite = suite_of(asked, factors, covering_design(), "exclude: [{task: [x, y], a: [0, 1, 2]}]\n")
    grid = Grid(suite)
    digits = grid.digits(np.array(list(draw(suite))))
    assert np.bincount(digits[:, 0]).tolist() == [36, 36, 36]
    assert set(digits[digits[:, 1] < 3, 0].tolist()) == {2}


@pytest.mark.parametrize("strength", ["1", "4", "two"])
def test_another_strength_is_refused(strength: str) -> None:
    design = f"design: {{kind: covering, strength: {strength}, passes: 1, seed: 0}}\n"
    with pytest.raises(InputError, match="must be 2 or 3"):
        suite_of(ASK, FACTORS, design)


def test_the_next_run_of_a_ledger_asks_the_next_passes_with_other_company_and_no_cell_again() -> None:
    suite = suite_of(ASK, FACTORS, covering_design(passes=2), RULES)
    assert isinstance(suite.design, CoveringDesign)
    passes = Passes(suite, suite.design)
    first = list(draw(suite))
    second = list(draw(suite, asked=Asked(1, np.array(first))))
    assert set(second) <= set(passes.take(2).tolist()) | set(passes.take(3).tolist())
    assert second and not set(first) & set(second)
    everything = Asked(5, np.arange(Grid(suite).size))
    with pytest.raises(InputError, match=r"passes 11 to 12 hold no cell beside the \d+ that earlier runs asked"):
        list(draw(suite, asked=everything))
