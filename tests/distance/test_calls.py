import json
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from diffbehav.distance.arguments import distance, read
from diffbehav.distance.calls import CallChange, CallDistances, call_distances

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


def compare(candidate: Turn, trusted: Turn) -> CallDistances:
    return call_distances([spelt(candidate)], [spelt(trusted)], severities=SEVERITY, default_severity=0.7)


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
    assert compare(x, y).distance_N[0] == pytest.approx(expected)


@given(turns, turns, st.randoms(use_true_random=False))
def test_order_says_nothing_and_swapping_the_sides_swaps_extra_and_missing(x: Turn, y: Turn, random) -> None:
    there, back = compare(x, y), compare(y, x)
    assert there.distance_N[0] == pytest.approx(back.distance_N[0])
    assert (there.extra_N[0], there.missing_N[0]) == (back.missing_N[0], back.extra_N[0])
    shuffled = random.sample(x, len(x))
    assert compare(shuffled, y).distance_N[0] == pytest.approx(there.distance_N[0])
    assert compare(shuffled, x).distance_N[0] == 0.0
    assert bool(there.changes_N[0]) == (there.distance_N[0] > 0.0)


def test_an_extra_call_beside_the_right_one_is_named() -> None:
    right, extra = ("read", {"path": "/a"}), ("delete", {"path": "/b"})
    result = compare([right, extra], [right])
    assert result.distance_N[0] == pytest.approx(1.0 / 1.2)
    assert (result.extra_N[0], result.missing_N[0]) == (1, 0)
    assert result.changes_N[0] == (CallChange("extra_call", "delete", "$", '{"path":"/b"}', None),)


def test_another_tool_is_an_extra_and_a_missing_call_at_distance_one() -> None:
    result = compare([("delete", {})], [("read", {})])
    assert result.distance_N[0] == 1.0
    assert [change.change for change in result.changes_N[0]] == ["extra_call", "missing_call"]


def test_a_changed_argument_costs_its_share_whatever_the_severity_of_a_lone_call() -> None:
    result = compare([("write", {"path": "/a", "mode": 1})], [("write", {"path": "/a", "mode": 2})])
    assert result.distance_N[0] == pytest.approx(0.25)
    assert result.changes_N[0] == (CallChange("changed", "write", "$.mode", "1", "2"),)


def test_no_calls_on_either_side_and_calls_spelt_otherwise_are_at_zero() -> None:
    assert call_distances(["[]"], ["[ ]"], severities={}, default_severity=1.0).distance_N[0] == 0.0
    result = compare([("read", '{"a": 1, "b": 2}')], [("read", '{"b":2,"a":1.0}')])
    assert result.distance_N[0] == 0.0
    assert result.changes_N[0] == ()


def test_some_calls_against_none_are_at_one() -> None:
    result = compare([], [("read", {}), ("unheard_of", {})])
    assert result.distance_N[0] == 1.0
    assert result.missing_N[0] == 2


def test_identical_calls_are_paired_first_among_namesakes() -> None:
    result = compare([("read", 1), ("read", 5), ("read", 5)], [("read", 5), ("read", 2), ("read", 5)])
    assert result.changes_N[0] == (CallChange("changed", "read", "$", "1", "2"),)
    assert (result.extra_N[0], result.missing_N[0]) == (0, 0)


def test_a_call_both_sides_made_is_never_a_change_even_where_crossing_the_pairs_would_be_cheaper() -> None:
    result = compare([("read", "ab"), ("read", "aba")], [("read", "aba"), ("read", "ba")])
    assert result.changes_N[0] == (CallChange("changed", "read", "$", '"ab"', '"ba"'),)


def test_broken_arguments_are_compared_as_text() -> None:
    (change,) = compare([("read", '{"path": "/a"')], [("read", {"path": "/a"})]).changes_N[0]
    assert change == CallChange("changed", "read", "$", json.dumps('{"path": "/a"'), '{"path":"/a"}')


def test_a_turn_of_sixty_calls_is_paired_exactly() -> None:
    x, y = [("read", place) for place in range(60)], [("read", place * 0.9 + 0.5) for place in range(60)]
    costs = np.array([[distance(read(str(a)), read(str(b))) for _, b in y] for _, a in x])
    assert compare(x, y).distance_N[0] == pytest.approx(costs[linear_sum_assignment(costs)].mean())


def test_many_pairs_keep_their_places() -> None:
    texts = [spelt([("read", place % 3)]) for place in range(30)]
    result = call_distances(texts, [spelt([("read", 1)])] * 30, severities=SEVERITY, default_severity=0.7)
    np.testing.assert_array_equal(result.distance_N, np.tile([1.0, 0.0, 0.5], 10))


@pytest.mark.parametrize("severity", [0.0, -1.0, 1.5, float("nan")])
def test_a_severity_outside_its_range_is_refused(severity: float) -> None:
    with pytest.raises(ValueError, match="severity of 'read'"):
        call_distances([], [], severities={"read": severity}, default_severity=1.0)
