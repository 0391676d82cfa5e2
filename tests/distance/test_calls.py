import json
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from diffbehav.distance.arguments import distance, read
from diffbehav.distance.calls import NO_TOOLS, CallDistances, Turns, call_distances, comparing
from diffbehav.distance.turns import BOTH_BROKEN, ONE_BROKEN, TOO_MANY, TOO_MANY_IN_ORDER, CallChange

SEVERITY = {"read": 0.2, "write": 0.5, "delete": 1.0}
Turn = list[tuple[str, Any]]
turns = st.lists(st.tuples(st.sampled_from(sorted(SEVERITY)), st.integers(0, 3)), max_size=4)


def spelt(turn: Turn) -> str:
    return json.dumps(
        [
            {"name": name, "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments)}
            for name, arguments in turn
        ]
    )


def measure(candidate: list[str], trusted: list[str], *, tools: str = NO_TOOLS) -> CallDistances:
    sides = Turns(candidate, [None] * len(candidate)), Turns(trusted, [None] * len(trusted))
    compare = comparing(severities=SEVERITY, default_severity=0.7)
    return call_distances(*sides, tools_N=[tools] * len(candidate), compare=compare)


def compare(candidate: Turn, trusted: Turn, *, tools: str = NO_TOOLS) -> CallDistances:
    return measure([spelt(candidate)], [spelt(trusted)], tools=tools)


def slow_cost(x: Turn, y: Turn, *, alike: bool) -> float:
    """Cheapest over all alignments; without `alike` no argument and no name agree with any other."""
    size = max(len(x), len(y))
    sides = x + [None] * (size - len(x)), y + [None] * (size - len(y))

    def cost(a: tuple[str, int] | None, b: tuple[str, int] | None) -> float:
        severities = [SEVERITY[call[0]] for call in (a, b) if call is not None]
        if alike and a is not None and b is not None and a[0] == b[0]:
            return severities[0] * distance(read(str(a[1])), read(str(b[1])))
        return max(severities)

    return min(sum(map(cost, sides[0], order)) for order in permutations(sides[1])) if size else 0.0


@settings(deadline=None)
@given(turns, turns)
def test_the_distance_is_the_cheapest_alignment_over_that_of_calls_with_nothing_in_common(x: Turn, y: Turn) -> None:
    worst = slow_cost(x, y, alike=False)
    expected = slow_cost(x, y, alike=True) / worst if worst else 0.0
    assert compare(x, y).distance.value_N[0] == pytest.approx(expected)


@given(turns, turns, st.randoms(use_true_random=False))
def test_order_says_nothing_and_swapping_the_sides_swaps_extra_and_missing(x: Turn, y: Turn, random) -> None:
    there, back = compare(x, y), compare(y, x)
    assert there.distance.value_N[0] == pytest.approx(back.distance.value_N[0])
    assert (there.extra.value_N[0], there.missing.value_N[0]) == (back.missing.value_N[0], back.extra.value_N[0])
    shuffled = random.sample(x, len(x))
    assert compare(shuffled, y).distance.value_N[0] == pytest.approx(there.distance.value_N[0])
    assert compare(shuffled, x).distance.value_N[0] == 0.0
    assert bool(there.changes_N[0]) == (there.distance.value_N[0] > 0.0)


def test_an_extra_call_beside_the_right_one_is_named() -> None:
    right, extra = ("read", {"path": "/a"}), ("delete", {"path": "/b"})
    result = compare([right, extra], [right])
    assert result.distance.value_N[0] == pytest.approx(1.0 / 1.2)
    assert (result.extra.value_N[0], result.missing.value_N[0]) == (1, 0)
    assert result.changes_N[0] == (CallChange("extra_call", "delete", "$", '{"path":"/b"}', None),)


def test_another_tool_is_an_extra_and_a_missing_call_at_distance_one() -> None:
    result = compare([("delete", {})], [("read", {})])
    assert result.distance.value_N[0] == 1.0
    assert [change.change for change in result.changes_N[0]] == ["extra_call", "missing_call"]


def test_a_changed_argument_costs_its_share_whatever_the_severity_of_a_lone_call() -> None:
    result = compare([("write", {"path": "/a", "mode": 1})], [("write", {"path": "/a", "mode": 2})])
    assert result.distance.value_N[0] == pytest.approx(0.25)
    assert result.changes_N[0] == (CallChange("changed", "write", "$.mode", "1", "2"),)


def test_no_calls_on_either_side_and_calls_spelt_otherwise_are_at_zero() -> None:
    assert measure(["[]"], ["[ ]"]).distance.value_N[0] == 0.0
    result = compare([("read", '{"a": 1, "b": 2}')], [("read", '{"b":2,"a":1.0}')])
    assert result.distance.value_N[0] == 0.0
    assert result.changes_N[0] == ()


def test_some_calls_against_none_are_at_one() -> None:
    result = compare([], [("read", {}), ("unheard_of", {})])
    assert result.distance.value_N[0] == 1.0
    assert result.missing.value_N[0] == 2


def test_identical_calls_are_paired_first_among_namesakes() -> None:
    result = compare([("read", 1), ("read", 5), ("read", 5)], [("read", 5), ("read", 2), ("read", 5)])
    assert result.changes_N[0] == (CallChange("changed", "read", "$", "1", "2"),)
    assert (result.extra.value_N[0], result.missing.value_N[0]) == (0, 0)


def test_a_call_both_sides_made_is_never_a_change_even_where_crossing_the_pairs_would_be_cheaper() -> None:
    result = compare([("read", "ab"), ("read", "aba")], [("read", "aba"), ("read", "ba")])
    assert result.changes_N[0] == (CallChange("changed", "read", "$", '"ab"', '"ba"'),)


def test_broken_arguments_are_compared_as_text() -> None:
    (change,) = compare([("read", '{"path": "/a"')], [("read", {"path": "/a"})]).changes_N[0]
    assert change == CallChange("changed", "read", "$", json.dumps('{"path": "/a"'), '{"path":"/a"}')


def test_a_turn_of_sixty_calls_is_paired_exactly() -> None:
    x, y = [("read", place) for place in range(60)], [("read", place * 0.9 + 0.5) for place in range(60)]
    costs = np.array([[distance(read(str(a)), read(str(b))) for _, b in y] for _, a in x])
    assert compare(x, y).distance.value_N[0] == pytest.approx(costs[linear_sum_assignment(costs)].mean())


def test_many_pairs_keep_their_places() -> None:
    texts = [spelt([("read", place % 3)]) for place in range(30)]
    result = measure(texts, [spelt([("read", 1)])] * 30)
    np.testing.assert_array_equal(result.distance.value_N, np.tile([1.0, 0.0, 0.5], 10))


@pytest.mark.parametrize("severity", [0.0, -1.0, 1.5, float("nan")])
def test_a_severity_outside_its_range_is_refused(severity: float) -> None:
    with pytest.raises(ValueError, match="severity of 'read'"):
        comparing(severities={"read": severity}, default_severity=1.0)


def slow_order(x: Turn, y: Turn, *, alike: bool) -> float:
    """Cheapest over all ways to go on from the front of both, without any trimming."""
    if not x or not y:
        return sum(SEVERITY[name] for name, _ in x + y)
    (name, arguments), (other, others) = x[0], y[0]
    replaced = max(SEVERITY[name], SEVERITY[other])
    if alike and name == other:
        replaced = SEVERITY[name] * distance(read(str(arguments)), read(str(others)))
    return min(
        replaced + slow_order(x[1:], y[1:], alike=alike),
        SEVERITY[name] + slow_order(x[1:], y, alike=alike),
        SEVERITY[other] + slow_order(x, y[1:], alike=alike),
    )


@settings(deadline=None)
@given(turns, turns)
def test_the_ordered_distance_is_the_cheapest_edit_over_that_of_calls_with_nothing_in_common(x: Turn, y: Turn) -> None:
    worst = slow_order(x, y, alike=False)
    expected = slow_order(x, y, alike=True) / worst if worst else 0.0
    assert compare(x, y).order.value_N[0] == pytest.approx(expected)


def test_two_calls_in_the_other_order_differ_in_order_alone() -> None:
    result = compare([("read", 1), ("delete", 2)], [("delete", 2), ("read", 1)])
    assert (result.distance.value_N[0], result.changes_N[0]) == (0.0, ())
    assert result.order.value_N[0] == pytest.approx(0.4 / 1.4)


TOOLS = json.dumps(
    [
        {
            "type": "function",
            "function": {
                "name": "read",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "path": {"type": "string", "default": "/"},
                        "lines": {"type": "integer", "default": 10},
                        "options": {"type": "object", "properties": {"follow": {"type": "boolean", "default": False}}},
                        "ranges": {"type": "array", "items": {"properties": {"step": {"default": 1}}}},
                    },
                    "required": ["path"],
                },
            },
        }
    ]
)


@pytest.mark.parametrize(
    "arguments",
    [
        {"lines": 10},
        {"lines": 10.0},
        {"lines": "10"},
        {"options": {"follow": False, "deep": 1}, "ranges": [{"step": 1, "to": 5}]},
    ],
)
def test_an_argument_that_equals_its_schema_default_counts_as_left_out(arguments: dict[str, Any]) -> None:
    plain = {"options": {"deep": 1}, "ranges": [{"to": 5}]} if "options" in arguments else {}
    there = compare([("read", arguments)], [("read", plain)], tools=TOOLS)
    assert (there.distance.value_N[0], there.order.value_N[0], there.changes_N[0]) == (0.0, 0.0, ())
    assert compare([("read", arguments)], [("read", plain)]).distance.value_N[0] > 0.0


@pytest.mark.parametrize(
    ("arguments", "path"),
    [({"lines": 11}, "$.lines"), ({"lines": "1O"}, "$.lines"), ({"lines": True}, "$.lines"), ({"path": "/"}, "$.path")],
)
def test_other_values_and_required_arguments_are_no_defaults(arguments: dict[str, Any], path: str) -> None:
    (change,) = compare([("read", arguments)], [("read", {})], tools=TOOLS).changes_N[0]
    assert (change.change, change.path) == ("added", path)


def test_an_extra_call_is_shown_with_its_defaults() -> None:
    (change,) = compare([("read", {"lines": 10})], [], tools=TOOLS).changes_N[0]
    assert change.candidate == '{"lines":10}'


@pytest.mark.parametrize(
    "tools",
    [
        "no JSON with a \"default\"",
        '{"default": 1}',
        '[1, null, {"function": "default"}]',
        '[{"function": {"name": "read", "parameters": ["default"]}}]',
        '[{"function": {"name": "read", "parameters": {"properties": ["default"], "required": 3}}}]',
        '[{"function": {"name": "read", "parameters": {"properties": {"lines": "default"}}}}]',
        '[{"function": {"name": ["default"], "parameters": {}}}]',
        json.dumps(json.loads(TOOLS) * 2),
        '[{"function": {"name": "read", "parameters": {"a": ' + '[' * 1000 + ']' * 1000 + ', "default": 1}}}]',
    ],
)
def test_a_schema_that_is_none_or_is_given_twice_has_no_defaults(tools: str) -> None:
    assert compare([("read", {"lines": 10})], [("read", {})], tools=tools).distance.value_N[0] == 1.0


def test_calls_that_could_not_be_read_are_an_outcome_of_their_own() -> None:
    right, harmful, other = (spelt(calls) for calls in ([("read", 1)], [("read", 1), ("delete", 2)], [("read", 2)]))
    broken = Turns([right, harmful, "[]", "[]", right, other, right], ["<a", "<b", "<c", "<c", None, "<f", None])
    result = call_distances(
        broken,
        Turns([right, right, "[]", "[]", "[]", right, other], [None, None, "<d", "<c", "<e", None, "<g"]),
        tools_N=None,
        compare=comparing(severities=SEVERITY, default_severity=0.7),
    )
    np.testing.assert_array_equal(result.distance.value_N, [1.0, 1.0, np.nan, 0.0, 1.0, 1.0, 1.0])
    np.testing.assert_array_equal(result.order.value_N, [1.0, 1.0, np.nan, 0.0, 1.0, 1.0, 1.0])
    assert list(result.distance.reason_N) == ["", "", BOTH_BROKEN, "", "", "", ""]
    assert list(result.extra.reason_N) == [ONE_BROKEN, ONE_BROKEN, BOTH_BROKEN, "", *[ONE_BROKEN] * 3]
    changed = [[change.change for change in found] for found in result.changes_N]
    assert changed == [[], ["extra_call"], [], [], [], ["changed"], []]


def test_ten_thousand_calls_are_bounded_and_what_is_exact_stays_exact() -> None:
    flood = [("read", {"path": f"/srv/{place}"}) for place in range(10_000)]
    other = [("read", {"path": f"/var/{place}"}) for place in range(9_999)]
    result = compare(flood, other)
    assert np.isnan(result.distance.value_N[0]) and result.distance.reason_N[0] == TOO_MANY
    assert np.isnan(result.order.value_N[0]) and result.order.reason_N[0] == TOO_MANY_IN_ORDER
    assert (result.extra.value_N[0], result.missing.value_N[0]) == (1, 0)
    assert len(result.changes_N[0]) == 10_000
    assert compare([*flood, ("delete", 1)], flood).distance.value_N[0] == pytest.approx(1.0 / 2001)
    assert compare([*flood, ("read", 1)], flood).order.value_N[0] == pytest.approx(1.0 / 10_001)
    alone = compare(flood, [("read", {"path": "/srv/x"})])
    assert 0.9 < alone.distance.value_N[0] < 1.0
    assert alone.extra.value_N[0] == 9_999


def test_long_arguments_of_some_calls_are_bounded_and_one_pair_is_always_measured() -> None:
    huge = [("read", {"text": letter * 1_000_000}) for letter in "abcdefgh"]
    assert compare(huge[:4], huge[4:]).distance.reason_N[0] == TOO_MANY
    assert compare(huge[:1], huge[4:5]).distance.value_N[0] == 1.0


def test_items_of_lists_are_set_against_each_other_unless_the_calls_hold_too_much_together() -> None:
    """One by one the twenty calls of each side would take minutes."""

    def calls(digit: str, lengths: range) -> Turn:
        return [("read", f'{{"at":[{",".join(digit * length)}]}}') for length in lengths]

    for lengths in (range(490, 491), range(4, 24)):
        assert compare(calls("1", lengths), calls("2", lengths)).distance.value_N[0] == pytest.approx(0.5)
    many = compare(calls("1", range(470, 490)), calls("2", range(470, 490)))
    assert many.distance.value_N[0] == many.order.value_N[0] == 1.0


def test_names_that_only_look_alike_are_other_tools() -> None:
    for name in ("re\u0430d", "re\u200bad", "\u202eread", "READ", "read "):
        result = compare([(name, 1)], [("read", 1)])
        assert (result.extra.value_N[0], result.missing.value_N[0]) == (1, 1)
        assert result.changes_N[0][0].tool == name


def test_a_text_that_spells_what_its_schema_wants_is_that_value_and_is_shown_as_written() -> None:
    schema = {
        "count": {"type": "integer"}, "name": {"type": "string"}, "ratio": {"type": ["number", "null"]},
        "deep": {"type": "object", "properties": {"on": {"type": "boolean"}}}, "any": {},
        "ids": {"type": "array", "items": {"type": "integer"}}, "either": {"type": ["integer", "string"]},
    }  # fmt: skip
    tools = json.dumps([{"function": {"name": "read", "parameters": {"type": "object", "properties": schema}}}])

    def apart(a: dict[str, Any], b: dict[str, Any]) -> float:
        return float(compare([("read", a)], [("read", b)], tools=tools).distance.value_N[0])

    tagged = {"count": "5", "ratio": "0.50", "deep": '{"on": "True"}', "ids": '["1", 2]'}
    assert apart(tagged, {"count": 5, "ratio": 0.5, "deep": {"on": True}, "ids": [1, 2]}) == 0.0
    assert apart({"ratio": "null"}, {"ratio": None}) == apart({"count": " 5\n"}, {"count": 5.0}) == 0.0
    for same_text in ({"name": "5"}, {"any": "5"}, {"either": "5"}, {"count": "five"}, {"count": "5.5"}):
        assert apart(same_text, dict.fromkeys(same_text, 5)) == 1.0
    for odd in ("0x5", "1_000", "NaN", "1" * 5000, "٥", "", "[" * 1000, "true"):
        assert apart({"count": odd}, {"count": odd}) == 0.0
        assert apart({"count": odd}, {"count": 5}) == 1.0
    (change,) = compare([("read", {"count": "6"})], [("read", {"count": 5})], tools=tools).changes_N[0]
    assert (change.path, change.candidate, change.trusted) == ("$.count", "6", "5")
    (extra,) = compare([("read", {"count": "6"})], [], tools=tools).changes_N[0]
    assert extra.candidate == '{"count":"6"}'


@pytest.mark.parametrize(
    "properties",
    ['["a"]', "3", '{"count": "integer"}', '{"count": {"type": {"a": 1}}}', '{"count": {"type": "whole"}}', "true"],
)
def test_a_schema_that_is_none_types_nothing(properties: str) -> None:
    tools = f'[{{"function": {{"name": "read", "parameters": {{"type": 1, "properties": {properties}}}}}}}]'
    assert compare([("read", {"count": "5"})], [("read", {"count": 5})], tools=tools).distance.value_N[0] == 1.0
