"""The arguments of a call as a strict tool reads them: one JSON object that fits the tool's schema."""

import json
import re
from collections.abc import Mapping
from typing import Any

from diffbehav.episode.refusals import Capped, Refused
from diffbehav.records import well_formed

LONGEST = 65_536
"""Characters."""
DEEPEST = 32
"""Levels of objects and lists, the arguments themselves included."""
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,), "null": (type(None),),
}  # fmt: skip


def read_arguments(text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments in `text`; Refused where it is no strict JSON object or does not fit the JSON Schema `parameters`.

    Of the schema the required names and the types of the first level count; further arguments are let through.
    """
    found = json_object(text)
    for name in parameters.get("required", ()):
        if name not in found:
            raise Refused(f"argument {name!r} is missing")
    for name, value in found.items():
        wanted = parameters.get("properties", {}).get(name, {}).get("type")
        if isinstance(wanted, str) and not _is(value, wanted):
            raise Refused(f"argument {name!r} is not of type {wanted}")
    return found


def json_object(text: str) -> dict[str, Any]:
    """The JSON object in `text`; Refused where it is none: broken, NaN, a key written twice, too deep, too long.

    Its strings are `well_formed`, though an escape may name half a character.
    """
    if len(text) > LONGEST:
        raise Capped(f"the arguments have {len(text):,} characters; the limit is {LONGEST:,}")
    try:
        value = _DECODER.decode(well_formed(text))
        if _ESCAPED_SURROGATE.search(text):
            value = _DECODER.decode(well_formed(json.dumps(value, ensure_ascii=False)))
    except RecursionError:
        raise Capped(f"the arguments are nested deeper than {DEEPEST} levels") from None
    except json.JSONDecodeError as error:
        raise Refused(f"the arguments are not valid JSON: {error.msg} at character {error.pos}") from None
    except ValueError as error:
        raise Refused(f"the arguments are not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refused("the arguments are not a JSON object")
    if text.count("[") + text.count("{") > DEEPEST and _levels(value) > DEEPEST:
        raise Capped(f"the arguments are nested deeper than {DEEPEST} levels")
    return value


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, bool) and wanted != "boolean":
        return False
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(wanted, object))


def _levels(value: Any) -> int:
    levels, layer = 0, [value]
    while layer := [item for item in layer if isinstance(item, dict | list)]:
        levels += 1
        layer = [item for each in layer for item in (each.values() if isinstance(each, dict) else each)]
    return levels


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key is written twice")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if abs(value) == float("inf"):
        raise ValueError("a number is too large")
    return value


def _whole(digits: str) -> int:
    if len(digits) > 300:
        raise ValueError("a number is too large")
    return int(digits)


_DECODER = json.JSONDecoder(
    parse_constant=_no_constant, parse_float=_finite, parse_int=_whole, object_pairs_hook=_object
)
