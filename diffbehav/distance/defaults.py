"""Arguments that say what leaving them out would say: those equal to the default in the tool's schema."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diffbehav.distance.arguments import compact
from diffbehav.distance.schemas import Schema, as_schema, schema_at


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a JSON Schema says of defaults. What is no schema says nothing."""

    of: Mapping[str, str] = field(default_factory=dict)
    """Optional property -> its default as compact JSON."""
    within: Mapping[str, "Defaults"] = field(default_factory=dict)
    """Property -> the defaults inside its value."""
    items: "Defaults | None" = None
    """The defaults inside the items of a list."""


def argument_defaults(schema: Schema) -> Defaults | None:
    """None where the schema has no default at any level."""
    properties = schema_at(schema, "properties")
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    of = {
        key: compact(inner["default"])
        for key, inner in properties.items()
        if key not in needed and "default" in as_schema(inner)
    }
    inside = {key: argument_defaults(as_schema(inner)) for key, inner in properties.items()}
    within = {key: inner for key, inner in inside.items() if inner is not None}
    items = argument_defaults(schema_at(schema, "items")) if "items" in schema else None
    return Defaults(of, within, items) if of or within or items else None


def without_defaults(value: Any, defaults: Defaults) -> Any:
    """`value` without the optional properties that equal their defaults, at every level that the schema describes."""
    if isinstance(value, list):
        inner = defaults.items
        return value if inner is None else [without_defaults(item, inner) for item in value]
    if not isinstance(value, dict):
        return value
    dropped = {key for key, default in defaults.of.items() if key in value and compact(value[key]) == default}
    changed = {
        key: without_defaults(value[key], inner) for key, inner in defaults.within.items() if key in value
    }
    return {key: inner for key, inner in (value | changed).items() if key not in dropped}
