import time
from collections.abc import Callable
from datetime import date
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbehav.errors import InputError
from diffbehav.suite import Grid, Suite, draw
from tests.suite.writing import ASK, FACTORS, FULL, random_design, suite_of

DERIVED = """
derived:
  year: {from: date, part: year}
  weekday: {from: date, part: weekday}
"""
BILLION = """
messages: [{role: user, content: "{{ a }}{{ b }}{{ c }}{{ d }}{{ e }}{{ f }}{{ g }}{{ h }}{{ i }}"}]
tasks: [{id: only}]
factors:
""" + "".join(f"  {name}: [{', '.join(f'l{i}' for i in range(10))}]\n" for name in "abcdefghi")


def small(*parts: str) -> Suite:
    return suite_of(ASK, FACTORS, FULL, DERIVED, *parts)


def test_the_size_is_the_product_of_tasks_and_declared_levels() -> None:
    assert len(Grid(small())) == 2 * 3 * 3 * 4


def test_the_last_factor_varies_fastest_and_the_task_slowest() -> None:
    grid = Grid(small())
    first = {"date": "2024-02-06", "user": "ann", "place": "no", "year": "2024", "weekday": "Tuesday"}
    assert grid.cell(0) == ("one", first)
    assert grid.levels(1) == {**first, "place": "3.10"}
    assert grid.levels(4) == {**first, "user": "bob"}
    assert grid.cell(36) == ("two", first)


@given(
    radices=st.lists(st.integers(1, 9), min_size=1, max_size=9),
    tasks=st.integers(1, 5),
    share=st.floats(0, 1, exclude_max=True),
)
@settings(deadline=None)
def test_index_and_levels_are_inverse(radices: list[int], tasks: int, share: float) -> None:
    factors = "factors:\n" + "".join(
        f"  f{i}: [{', '.join(map(str, range(n)))}]\n" for i, n in enumerate(radices)
    )
    asked = "tasks:\n" + "".join(f"  - id: t{i}\n" for i in range(tasks))
    grid = Grid(suite_of("messages: [{role: user, content: x}]\n", asked, factors, FULL))
    assert grid.size == tasks * prod(radices)
    index = int(share * grid.size)
    cell = grid.cell(index)
    assert grid.index(cell.levels, task=cell.task) == index
    assert grid.digits(np.array([index]))[0].tolist() == [int(cell.task[1:]), *map(int, cell.levels.values())]


def test_derived_levels_given_to_index_must_agree() -> None:
    grid = Grid(small())
    levels = grid.levels(17)
    assert grid.index(levels, task="one") == 17
    with pytest.raises(InputError, match="year='2031' does not fit"):
        grid.index({**levels, "year": "2031"}, task="one")


def test_what_names_no_cell_is_refused() -> None:
    grid = Grid(small())
    with pytest.raises(InputError, match="no level given for user, place"):
        grid.index({"date": "2024-02-06"}, task="one")
    with pytest.raises(InputError, match="did you mean `ann`"):
        grid.index({"date": "2024-02-06", "user": "anne", "place": "x"}, task="one")
    with pytest.raises(InputError, match="outside"):
        grid.cell(72)


@pytest.mark.parametrize(
    ("rules", "forbidden"),
    [
        ("{user: ann}", lambda at: at["user"] == "ann"),
        ("{user: [ann, bob], place: no}", lambda at: at["user"] in ("ann", "bob") and at["place"] == "no"),
        ("{task: two, year: 2025}", lambda at: at["task"] == "two" and at["year"] == "2025"),
        ("{year: 2025, date: 2024-02-06}", lambda at: at["year"] == "2025" and at["date"] == "2024-02-06"),
        ("{year: 2025, weekday: Tuesday, user: cy}", lambda at: at["year"] == "2025" and at["user"] == "cy"),
        ("{user: ann}\n  - {place: x}", lambda at: at["user"] == "ann" or at["place"] == "x"),
    ],
)
def test_a_cell_is_excluded_where_all_levels_of_a_rule_hold(
    rules: str, forbidden: Callable[[dict[str, str]], bool]
) -> None:
    grid = Grid(small(f"exclude:\n  - {rules}\n"))
    cells = [grid.cell(index) for index in range(grid.size)]
    wanted = [forbidden({"task": cell.task, **cell.levels}) for cell in cells]
    assert grid.excluded(np.arange(grid.size)).tolist() == wanted


def test_a_range_of_dates_is_computed_and_complete() -> None:
    factors = "factors:\n  date: {kind: date_range, from: 2024-01-01, to: 2027-12-31, step: 1}\n"
    suite = suite_of(
        "messages: [{role: user, content: '{{ date }}'}]\ntasks: [{id: a}]\n", factors, FULL, DERIVED
    )
    days = suite.levels_of("date")
    assert len(days) == 1461
    assert (days[0], days[59], days[-1]) == ("2024-01-01", "2024-02-29", "2027-12-31")
    assert days[58:60] == ["2024-02-28", "2024-02-29"]
    assert days.index("2024-03-01") == 60
    assert "2028-01-01" not in days and "later" not in days and "2024-1-1" not in days
    assert suite.levels_of("year") == ("2024", "2025", "2026", "2027")
    assert suite.levels_of("weekday")[0] == "Monday" and len(suite.levels_of("weekday")) == 7


def test_a_step_that_jumps_over_the_end_stops_before_it() -> None:
    factors = "factors:\n  date: {kind: date_range, from: 2026-01-01, to: 2026-01-31, step: 7}\n"
    suite = suite_of("messages: [{role: user, content: '{{ date }}'}]\ntasks: [{id: a}]\n", factors, FULL)
    assert list(suite.levels_of("date")) == [
        "2026-01-01",
        "2026-01-08",
        "2026-01-15",
        "2026-01-22",
        "2026-01-29",
    ]


@pytest.mark.parametrize(
    ("part", "level"),
    [("year", "2026"), ("quarter", "Q1"), ("month", "03"), ("weekday", "Tuesday"), ("day", "17")],
)
def test_a_derived_factor_is_the_part_of_the_date(part: str, level: str) -> None:
    factors = f"factors: {{when: [2026-03-17]}}\nderived: {{x: {{from: when, part: {part}}}}}\n"
    suite = suite_of("messages: [{role: user, content: '{{ when }}'}]\ntasks: [{id: a}]\n", factors, FULL)
    assert date(2026, 3, 17).weekday() == 1
    assert Grid(suite).levels(0) == {"when": "2026-03-17", "x": level}


def test_a_billion_cells_load_and_are_sampled_at_once() -> None:
    started = time.process_time()
    suite = suite_of(BILLION, random_design(2000, neighbours=1), "exclude:\n  - {a: l1, b: [l2, l3]}\n")
    grid = Grid(suite)
    assert grid.size == 10**9
    cells = list(draw(suite))
    assert len(set(cells)) == 2000
    assert time.process_time() - started < 1
