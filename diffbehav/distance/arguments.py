"""How far the arguments of two calls of one tool are apart, and where."""

import json
import re
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal, NamedTuple

from diffbehav.distance.strings import edit_distance, string_distance

DEEPEST = 50
"""Levels of JSON that are compared as JSON; arguments nested deeper are compared as text."""
LONGEST_NUMBER = 300
"""Digits of a number; longer ones have no float and make their arguments text."""
FINE_PRODUCT = 1_000_000
"""Where the lengths of the two texts multiply to more, list items are compared as equal or not."""
LIST_PIECE = 65_536
"""Items compared at once: longer lists are cut as long strings are."""
MOST_PLACES = 1_000
"""Arguments that differ in more places are one change of the whole."""
_NAME = re.compile(r"[A-Za-z_]\w*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_READABLE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_ESCAPED = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

Edit = Literal["added", "removed", "changed"]


class Arguments(NamedTuple):
    """The arguments of one call, read strictly."""

    text: str
    """As the model wrote them."""
    value: Any
    """The JSON value; `text` itself where it is not strict JSON: broken, NaN or Infinity, a key
    written twice, nested too deep, a number too long."""
    is_json: bool


class ArgumentChange(NamedTuple):
    """One place where the arguments differ."""

    edit: Edit
    path: str
    """JSON path from `$`; list places count from 0, for `removed` in the trusted model's list."""
    candidate: str | None
    """JSON of what the candidate has there, None for `removed`."""
    trusted: str | None
    """JSON of what the trusted model has there, None for `added`."""


def read(text: str) -> Arguments:
    """Parse the text of a call's arguments; what is not strict JSON stays text."""
    try:
        return Arguments(text, _strict_json(text), True)
    except (ValueError, RecursionError):
        return Arguments(text, text, False)


def distance(candidate: Arguments, trusted: Arguments, *, fine: bool = True) -> float:
    """In [0, 1]: 0 = the same value, 1 = nothing in common. What is not JSON is compared by its edits.

    Items of lists are compared with each other where `fine`, and as equal or not otherwise.
    """
    if candidate.is_json and trusted.is_json:
        fine = fine and len(candidate.text) * len(trusted.text) <= FINE_PRODUCT
        return _distance(candidate.value, trusted.value, depth=0, fine=fine)
    return edit_distance(candidate.text, trusted.text)


def changes(candidate: Arguments, trusted: Arguments) -> tuple[ArgumentChange, ...]:
    """Where two arguments at a distance above 0 differ: at least one place, the whole beyond MOST_PLACES."""
    whole = ArgumentChange("changed", "$", compact(candidate.value), compact(trusted.value))
    if not (candidate.is_json and trusted.is_json):
        return (whole,)
    places = tuple(islice(_changes(candidate.value, trusted.value, "$"), MOST_PLACES + 1))
    return places if 0 < len(places) <= MOST_PLACES else (whole,)


def compact(value: Any) -> str:
    """JSON with sorted keys, readable where it is valid Unicode and escaped where it is not."""
    text = _READABLE.encode(value)
    return text if text.isascii() or not _SURROGATE.search(text) else _ESCAPED.encode(value)


def _distance(a: Any, b: Any, *, depth: int, fine: bool) -> float:
    if _kind(a) is not _kind(b):
        return 1.0
    if isinstance(a, dict):
        return _object_distance(a, b, depth=depth + 1, fine=fine)
    if isinstance(a, list):
        return _list_distance(a, b, depth=depth + 1, fine=fine)
    if isinstance(a, str):
        return _text_distance(a, b, depth=depth + 1, fine=fine)
    if a == b:
        return 0.0
    return _number_distance(a, b) if _kind(a) is float else 1.0


def _kind(value: Any) -> type:
    """The JSON type; integers and other numbers are one type, and a truth value is not a number."""
    return float if type(value) is int else type(value)


def _number_distance(a: float, b: float) -> float:
    """|a - b| over the larger magnitude, at most 1; numbers that differ are never at 0, however close."""
    return min(1.0, max(abs(a - b) / max(abs(a), abs(b)), sys.float_info.min))


def _text_distance(a: str, b: str, *, depth: int, fine: bool) -> float:
    """Two strings that both hold a JSON object or list are compared as what they hold."""
    if a == b:
        return 0.0
    if depth < DEEPEST and a[:1] in ("{", "[") and b[:1] in ("{", "["):
        inner_a, inner_b = read(a), read(b)
        if inner_a.is_json and inner_b.is_json:
            return _distance(inner_a.value, inner_b.value, depth=depth, fine=fine)
    return string_distance(a, b)


def _object_distance(a: dict[str, Any], b: dict[str, Any], *, depth: int, fine: bool) -> float:
    """Mean over the keys of either: 1 for a key that only one side has."""
    keys = a.keys() | b.keys()
    if not keys:
        return 0.0
    shared = a.keys() & b.keys()
    apart = sum(_distance(a[key], b[key], depth=depth, fine=fine) for key in sorted(shared))
    return (apart + len(keys) - len(shared)) / len(keys)


def _list_distance(a: list[Any], b: list[Any], *, depth: int, fine: bool) -> float:
    """Levenshtein distance over the longer length; a substitution costs the distance of the items."""
    longer = max(len(a), len(b))
    if not longer:
        return 0.0
    if not fine:
        return edit_distance([compact(item) for item in a], [compact(item) for item in b], piece=LIST_PIECE)
    above = list(range(len(b) + 1))
    costs: list[float] = [float(cost) for cost in above]
    for row, item in enumerate(a, start=1):
        diagonal, costs[0] = costs[0], float(row)
        for column, other in enumerate(b, start=1):
            substituted = diagonal + _distance(item, other, depth=depth, fine=fine)
            diagonal = costs[column]
            costs[column] = min(substituted, costs[column] + 1.0, costs[column - 1] + 1.0)
    return costs[-1] / longer


def _changes(a: Any, b: Any, path: str) -> Iterator[ArgumentChange]:
    if isinstance(a, dict) and isinstance(b, dict):
        yield from _object_changes(a, b, path)
    elif isinstance(a, list) and isinstance(b, list):
        yield from _list_changes(a, b, path)
    elif _distance(a, b, depth=0, fine=False) > 0.0:
        yield ArgumentChange("changed", path, compact(a), compact(b))


def _object_changes(a: dict[str, Any], b: dict[str, Any], path: str) -> Iterator[ArgumentChange]:
    for key in sorted(a.keys() | b.keys()):
        inner = f"{path}.{key}" if _NAME.fullmatch(key) else f"{path}[{compact(key)}]"
        if key not in b:
            yield ArgumentChange("added", inner, compact(a[key]), None)
        elif key not in a:
            yield ArgumentChange("removed", inner, None, compact(b[key]))
        else:
            yield from _changes(a[key], b[key], inner)


def _list_changes(a: list[Any], b: list[Any], path: str) -> Iterator[ArgumentChange]:
    """Items between the common beginning and the common end, place by place."""
    texts_a, texts_b = [compact(item) for item in a], [compact(item) for item in b]
    shorter = min(len(a), len(b))
    start = next((place for place in range(shorter) if texts_a[place] != texts_b[place]), shorter)
    kept = next((end for end in range(shorter - start) if texts_a[-1 - end] != texts_b[-1 - end]), shorter - start)
    paired = shorter - start - kept
    for place in range(start, start + paired):
        yield from _changes(a[place], b[place], f"{path}[{place}]")
    for place in range(start + paired, len(a) - kept):
        yield ArgumentChange("added", f"{path}[{place}]", texts_a[place], None)
    for place in range(start + paired, len(b) - kept):
        yield ArgumentChange("removed", f"{path}[{place}]", None, texts_b[place])


def _strict_json(text: str) -> Any:
    value = _DECODER.decode(text)
    if text.count("[") + text.count("{") > DEEPEST and _levels(value) > DEEPEST:
        raise ValueError(f"JSON is nested deeper than {DEEPEST} levels")
    return value


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _decimal(digits: str) -> int | float:
    """1.0 and 1 are one JSON number, so both are read as an integer."""
    value = float(digits)
    if abs(value) > sys.float_info.max:
        raise ValueError(f"{digits[:20]!r} is too large")
    return int(value) if value.is_integer() else value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Parsers disagree on which of two equal keys counts, so such an object has no agreed value."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key is written twice")
    return value


def _levels(value: Any) -> int:
    """Levels of objects and lists; a bare value has 0."""
    levels, layer = -1, [value]
    while layer:
        levels += 1
        layer = [
            item
            for outer in layer
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return levels


_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_float=_decimal, parse_constant=_no_constant, object_pairs_hook=_object
)
