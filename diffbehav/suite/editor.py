"""The JSON Schema of suite files, for editors and for the hint after a misspelt key."""

from collections.abc import Iterable, Sequence
from typing import Any

from diffbehav.suite.model import SuiteFile


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a suite file, every field with description and examples."""
    schema = SuiteFile.model_json_schema(by_alias=True)
    levels = schema["$defs"]["LevelList"]["properties"]["levels"]
    bare = {key: levels[key] for key in ("type", "items", "minItems", "examples")}
    factor = schema["properties"]["factors"]["additionalProperties"]
    kinds = factor.pop("oneOf", None) or factor.pop("anyOf")
    factor.pop("discriminator", None)
    factor["anyOf"] = [{**bare, "description": "The levels alone."}, *kinds]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "diffbehav suite"}


def allowed_keys(path: Sequence[str | int], schema: dict[str, Any]) -> list[str]:
    """The keys a mapping at `path` may have in a file that `schema` describes."""
    places = _expand([schema], schema["$defs"])
    for step in path:
        below = [found for place in places if (found := _below(place, step)) is not None]
        places = _expand(below, schema["$defs"]) if below else places
    return list(dict.fromkeys(key for place in places for key in place.get("properties", ())))


def _expand(places: Iterable[dict[str, Any]], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    expanded = []
    for place in places:
        if "$ref" in place:
            place = definitions[place["$ref"].rsplit("/", 1)[1]]
        expanded.append(place)
        for union in ("anyOf", "oneOf", "allOf"):
            expanded += _expand(place.get(union, ()), definitions)
    return expanded


def _below(place: dict[str, Any], step: str | int) -> dict[str, Any] | None:
    if isinstance(step, int):
        found = place.get("items")
    else:
        found = place.get("properties", {}).get(step) or place.get("additionalProperties")
    return found if isinstance(found, dict) else None
