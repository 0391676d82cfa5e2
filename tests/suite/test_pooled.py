from itertools import combinations

import numpy as np
import pytest

from diffbehav.errors import InputError
from diffbehav.suite import Grid, Suite, conditions, draw, suite_from_resolved
from diffbehav.suite.pooled import halves
from tests.suite.test_covering import covering_design
from tests.suite.writing import FULL, random_design, suite_of

NAMES = ("read", "list", "drop", "send", "plan", "post")
ASK = """
messages:
  - {role: system, content: "{{ year }} {{ user }}: {{ tool | join(', ') }} [{{ mark | join }}]"}
  - {role: user, content: "{{ request }}"}
tasks:
  - {id: one, vars: {request: first}, tools: [read]}
  - {id: two, vars: {request: second}}
"""
FACTORS = """
factors:
  year: [2024, 2025, 2026]
  tool:
    levels: [list, drop, send, plan, post]
    offers: {drop: drop, send: [send, post]}
    pooled: true
    exclusive: 0.2
  user: [ann, bob, cy, dee]
  mark: {levels: [A, B], pooled: true, exclusive: 0.5}
"""
TOOLS = "tools:\n" + "".join(
    f"  - {{type: function, function: {{name: {name}, description: d, parameters: {{}}}}}}\n" for name in NAMES
)


def pooled(*parts: str) -> Suite:
    return suite_of(ASK, FACTORS, TOOLS, *parts)


def present(suite: Suite, factor: str, cells: list[int]) -> np.ndarray:
    """[cell, level]: whether the level is present."""
    grid = Grid(suite)
    return grid.digits(np.array(cells))[:, [grid.names.index(axis) for axis in suite.pools[factor].axes.values()]]


def test_each_level_of_a_pooled_factor_is_an_axis_of_its_own() -> None:
    suite = pooled(FULL)
    tools = tuple(f"tool.{level}" for level in ("list", "drop", "send", "plan", "post"))
    assert suite.factor_names == ("year", *tools, "user", "mark.A", "mark.B")
    assert suite.levels_of("tool.drop") == ("absent", "present")
    assert Grid(suite).size == 2 * 3 * 2**5 * 4 * 2**2
    assert suite_from_resolved(suite.resolved(), name="run.json").digest == suite.digest


def test_templates_see_the_list_of_what_is_present_and_offers_add_up() -> None:
    suite = pooled(FULL)
    levels = dict.fromkeys(suite.factor_names, "absent") | {"year": "2026", "user": "bob"}
    some = levels | {"tool.send": "present", "tool.drop": "present", "mark.B": "present"}
    cells = [Grid(suite).index(each, task="one") for each in (levels, some)]
    nothing, condition = conditions(suite, cells)
    assert nothing.messages[0]["content"] == "2026 bob:  []"
    assert condition.messages[0]["content"] == "2026 bob: drop, send [B]"
    assert [tool["function"]["name"] for tool in condition.tools] == ["read", "drop", "send", "post"]
    assert condition.levels == some


@pytest.mark.parametrize("design", [covering_design(passes=2), random_design(200, neighbours=1), FULL])
def test_an_exclusion_can_name_a_pooled_level(design: str) -> None:
    suite = pooled(design, "exclude: [{task: two, tool.drop: present}, {user: ann, tool.list: absent}]\n")
    for condition in conditions(suite, draw(suite, limit=300)):
        assert not (condition.task == "two" and condition.levels["tool.drop"] == "present")
        assert not (condition.levels["user"] == "ann" and condition.levels["tool.list"] == "absent")


@pytest.mark.parametrize("strength", [2, 3])
@pytest.mark.parametrize("rule", ["", "exclude: [{user: ann, tool.list: absent}, {mark.A: present, year: 2024}]\n"])
def test_a_pass_covers_presence_and_absence_with_all_else_that_is_allowed(strength: int, rule: str) -> None:
    suite = pooled(covering_design(strength=strength), rule)
    grid = Grid(suite)
    every = np.arange(grid.size)
    allowed = grid.digits(every[~grid.excluded(every)])
    rows = grid.digits(np.array(list(draw(suite))))
    for axes in combinations(range(1, len(grid.names)), strength):
        wanted = np.unique(allowed[:, axes], axis=0).tolist()
        assert np.unique(rows[:, axes], axis=0).tolist() == wanted


def test_a_covering_pass_keeps_the_share_of_rows_with_one_level_alone() -> None:
    suite = pooled(covering_design())
    cells = list(draw(suite))
    assert (present(suite, "tool", cells).sum(axis=1) == 1).mean() >= 0.19
    assert (present(suite, "mark", cells).sum(axis=1) == 1).mean() >= 0.49


def test_a_random_draw_has_halves_and_levels_alone_and_can_use_up_the_grid() -> None:
    lone = FACTORS.replace("exclusive: 0.2", "exclusive: 0.6")
    suite = suite_of(ASK, lone, TOOLS, random_design(400))
    shown = present(suite, "tool", list(draw(suite)))
    assert 0.5 < (shown.sum(axis=1) == 1).mean() < 0.8
    assert 0.35 < shown[shown.sum(axis=1) != 1].mean() < 0.65
    whole = suite_of(ASK, lone, TOOLS, random_design(3072, neighbours=1))
    assert sorted(draw(whole)) == list(range(3072))


@pytest.mark.parametrize(("rows", "levels", "exclusive"), [(1000, 20, 0.2), (1001, 3, 0.0), (77, 7, 1.0), (2, 1, 0.5)])
def test_each_level_is_absent_equally_often(rows: int, levels: int, exclusive: float) -> None:
    shown = halves(rows, levels=levels, exclusive=exclusive, rng=np.random.default_rng(4))
    single = round(exclusive * rows)
    assert shown.shape == (rows, levels)
    assert (shown.sum(axis=1) == 1).sum() >= single
    expected = (rows - single) / 2 + single / levels
    assert (abs(shown.sum(axis=0) - expected) <= 1.5).all()


def test_a_level_that_changes_nothing_is_named_as_unused() -> None:
    silent = ASK.replace("{{ tool | join(', ') }}", "")
    suite = suite_of(silent, FACTORS, TOOLS, FULL)
    assert suite.unused_factors == ("tool.list", "tool.plan", "tool.post")


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ("{f: {levels: [a, b], pooled: true}}", "missing key `exclusive`"),
        ("{f: {levels: [a, b], pooled: false, exclusive: 0.2}}", "must be True"),
        ("{f: {levels: [a, A], pooled: true, exclusive: 0.2}}", "upper and lower case alone"),
        ("{f: {levels: [2024-01-01], pooled: true, exclusive: 0}}\nderived: {y: {from: f, part: year}}", "is pooled"),
        ("{f: {levels: [a], pooled: true, exclusive: 0}}\nexclude: [{f: a}]", "unknown factor 'f', did you mean `f.a`"),
        (f"{{f: {{levels: {list(range(70))}, pooled: true, exclusive: 0}}}}", "every pooled level doubles the grid"),
    ],
)
def test_a_pool_that_cannot_be_is_refused(factors: str, message: str) -> None:
    asked = "messages: [{role: user, content: '{{ f }}'}]\ntasks: [{id: x}]\n"
    with pytest.raises(InputError) as caught:
        suite_of(asked, f"factors: {factors}\n", FULL)
    assert message in str(caught.value)
