from typing import Any

from diffbehav.suite import json_schema


def fields(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {f"suite.{name}": field for name, field in schema["properties"].items()}
    for part, definition in schema["$defs"].items():
        found |= {f"{part}.{name}": field for name, field in definition["properties"].items()}
    return found


def test_every_field_is_described_with_examples() -> None:
    for name, field in fields(json_schema()).items():
        assert field.get("description"), name
        assert field.get("examples"), name


def test_an_editor_learns_the_dialect_and_no_tuple_occurs() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "prefixItems" not in str(schema)
    assert schema["additionalProperties"] is False


def test_an_editor_accepts_levels_that_its_yaml_reads_as_dates_numbers_and_booleans() -> None:
    bare = json_schema()["properties"]["factors"]["additionalProperties"]["anyOf"][0]
    assert bare["type"] == "array"
    assert set(bare["items"]["type"]) == {"string", "number", "boolean", "null"}
