import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbehav.distance.arguments import ArgumentChange, changes, distance, read
from diffbehav.distance.strings import PIECE, edit_distance, string_distance

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


def apart(a: Any, b: Any) -> float:
    return distance(read(json.dumps(a)), read(json.dumps(b)))


@given(values, values)
def test_the_distance_is_symmetric_and_in_the_unit_interval_and_says_where(a: Any, b: Any) -> None:
    assert 0.0 <= apart(a, b) <= 1.0
    assert apart(a, b) == pytest.approx(apart(b, a))
    assert apart(a, a) == 0.0
    if apart(a, b) > 0.0:
        assert changes(read(json.dumps(a)), read(json.dumps(b)))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (1, 1.0, 0.0),
        (1, 2, 0.5),
        (1, -1, 1.0),
        (1, True, 1.0),
        (True, False, 1.0),
        (None, 0, 1.0),
        ("abcd", "abcx", 0.25),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, 0.0),
        ({"a": 1, "b": 2}, {"a": 1}, 0.5),
        ({"a": 1}, {"b": 1}, 1.0),
        ({}, {}, 0.0),
        ([1, 2, 3], [1, 3], 1 / 3),
        ([1, 2], [1, 4], 0.25),
        ([], [1], 1.0),
        ({"a": {"b": [1, {"c": "x"}]}}, {"a": {"b": [1, {"c": "y"}]}}, 0.5),
        ("/srv/./data/../x", "/srv/x", 0.0),
        ("src//main.py", "src/main.py", 0.0),
        ("a  b", "a b", 0.25),
        ('{"k": [1, 2]}', '{"k":[1,2.0]}', 0.0),
        ("https://Example.com/a", "https://example.com/a", 0.0),
        ("http://example.com/a", "https://example.com/a", 0.2),
        ("https://examp1e.com/a", "https://example.com/a", 0.5),
        ("https://example.com/ab", "https://example.com/ac", 0.3 / 3),
        ("https://[bad", "https://[bed", 1 / 12),
    ],
)
def test_hand_worked_values(a: Any, b: Any, expected: float) -> None:
    assert apart(a, b) == pytest.approx(expected)


def test_numbers_that_differ_by_a_hair_are_not_at_zero() -> None:
    assert apart(2**60, 2**60 + 1) > 0.0
    assert 0.0 < distance(read("1152921504606846977"), read("1152921504606846976.5")) < 1e-9


def test_changes_name_the_json_path() -> None:
    candidate = read('{"to": ["a", "b", "evil", "c"], "amount": 5, "odd key": {"x": 1}, "cc": "me"}')
    trusted = read('{"to": ["a", "b", "c"], "amount": 6, "odd key": {"x": 2}, "note": null}')
    assert changes(candidate, trusted) == (
        ArgumentChange("changed", "$.amount", "5", "6"),
        ArgumentChange("added", "$.cc", '"me"', None),
        ArgumentChange("removed", "$.note", None, "null"),
        ArgumentChange("changed", '$["odd key"].x', "1", "2"),
        ArgumentChange("added", "$.to[2]", '"evil"', None),
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1',
        "",
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        '{"a": 1, "a": 2}',
        "9" * 5000,
        "[" * 100_000,
        '{"a":' * 51 + "1" + "}" * 51,
        '{"a":' * 900 + "1" + "}" * 900,
    ],
)
def test_what_is_not_strict_json_is_compared_as_text_at_the_root(text: str) -> None:
    odd, plain = read(text), read('{"a": 2}')
    assert not odd.is_json
    assert 0.0 < distance(odd, plain) <= 1.0
    assert distance(odd, read(text)) == 0.0
    (change,) = changes(odd, plain)
    assert change == ArgumentChange("changed", "$", json.dumps(text), '{"a":2}')


def test_fifty_levels_are_compared_as_json() -> None:
    deep = [read('{"a":' * 50 + value + "}" * 50) for value in ("1", "2")]
    assert deep[0].is_json
    assert distance(*deep) == 0.5
    assert changes(*deep)[0].path == "$" + ".a" * 50


def test_strings_that_hold_json_in_json_in_json_do_not_exhaust_the_stack() -> None:
    inner = ["1", "2"]
    for _ in range(12):
        inner = [json.dumps([text]) for text in inner]
    assert 0.0 < distance(*map(read, inner)) <= 1.0


def test_a_megabyte_takes_seconds_and_lone_surrogates_and_long_lists_do_not_crash() -> None:
    assert apart({"x": "ab" * 500_000}, {"x": "ac" * 500_000}) == pytest.approx(0.5)
    assert apart({"x": list(range(50_000))}, {"x": list(range(5, 50_000))}) == pytest.approx(5 / 50_000)
    surrogate = changes(read('["\\ud800"]'), read('["x"]'))
    assert surrogate == (ArgumentChange("changed", "$[0]", '"\\ud800"', '"x"'),)


@given(st.text(max_size=5), st.text(max_size=5))
def test_pieces_bound_the_edit_distance_from_above_and_keep_zero(a: str, b: str) -> None:
    padding = "x" * PIECE
    pieces, whole = edit_distance(padding + a, padding + b), edit_distance(a, b) * max(len(a), len(b))
    assert pieces * max(len(padding + a), len(padding + b)) >= whole - 1e-9
    assert (pieces == 0.0) == (a == b)
    assert (string_distance(a, a), edit_distance(padding, padding)) == (0.0, 0.0)


def test_a_megabyte_of_list_items_is_cut_in_pieces_and_named_as_one_change() -> None:
    ones, twos = read(json.dumps({"x": [1, 1] * 100_000})), read(json.dumps({"x": [1, 2] * 100_000}))
    assert distance(ones, twos) == pytest.approx(0.5)
    (change,) = changes(ones, twos)
    assert (change.edit, change.path) == ("changed", "$")
