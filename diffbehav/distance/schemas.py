"""What the schemas of the tools on offer say of arguments."""

from collections.abc import Mapping
from typing import Any

from diffbehav.distance.arguments import read

Schema = Mapping[str, Any]


def argument_schemas(tools: str) -> Mapping[str, Schema]:
    """Tool -> JSON Schema of its arguments, from a JSON list of OpenAI-format tools; what is no schema is an empty one.

    A tool that is offered twice is absent: which of the two counts is not agreed.
    """
    offered = read(tools)
    described = offered.value if offered.is_json and isinstance(offered.value, list) else []
    functions = [schema_at(tool, "function") or as_schema(tool) for tool in described]
    names = [str(function.get("name")) for function in functions]
    found = zip(names, (schema_at(function, "parameters") for function in functions), strict=True)
    return {name: schema for name, schema in found if names.count(name) == 1}


def schema_at(value: Any, key: str) -> Schema:
    """The object under `key`, empty where there is none."""
    return as_schema(as_schema(value).get(key))


def as_schema(value: Any) -> Schema:
    """`value` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
