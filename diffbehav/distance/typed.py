"""Arguments typed as their schema says: formats that mark arguments by tags know no type but text."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from diffbehav.distance.arguments import read
from diffbehav.distance.schemas import Schema, as_schema, schema_at

_KINDS: Mapping[str, tuple[type, ...]] = {
    "integer": (int,), "number": (int, float), "boolean": (bool,), "object": (dict,), "array": (list,),
    "null": (type(None),),
}  # fmt: skip
_WORDS = ("true", "false", "null")


@dataclass(frozen=True, slots=True)
class Types:
    """What a JSON Schema says of types. What is no schema says nothing."""

    of: frozenset[str] = frozenset()
    """The types of the value itself, where text is none of them; empty otherwise."""
    within: Mapping[str, "Types"] = field(default_factory=dict)
    """Property -> the types inside its value."""
    items: "Types | None" = None
    """The types of the items of a list."""


def argument_types(schema: Schema) -> Types | None:
    """None where the schema asks for nothing but text at any level."""
    kinds = schema.get("type")
    listed = kinds if isinstance(kinds, list) else [kinds]
    of = frozenset(each for each in listed if isinstance(each, str))
    properties = {key: argument_types(as_schema(inner)) for key, inner in schema_at(schema, "properties").items()}
    within = {key: inner for key, inner in properties.items() if inner is not None}
    items = argument_types(schema_at(schema, "items")) if "items" in schema else None
    asked = frozenset() if "string" in of else of & _KINDS.keys()
    return Types(asked, within, items) if asked or within or items else None


def typed(value: Any, types: Types) -> Any:
    """`value` with every text replaced that the schema forbids and that is, as JSON, of a type it allows.

    So `"5"` is 5 where an integer is asked for and stays text where text is allowed or nothing is said.
    """
    if isinstance(value, str) and types.of:
        value = _meant(value, types.of)
    if isinstance(value, dict):
        return {key: typed(inner, types.within[key]) if key in types.within else inner for key, inner in value.items()}
    if isinstance(value, list) and types.items is not None:
        return [typed(item, types.items) for item in value]
    return value


def _meant(text: str, kinds: Collection[str]) -> Any:
    word = text.strip().lower()
    parsed = read(word if word in _WORDS else text)
    fits = parsed.is_json and any(type(parsed.value) in _KINDS[kind] for kind in kinds)
    return parsed.value if fits else text
