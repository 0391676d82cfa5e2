"""What pydantic refused, in the words of a suite's author."""

from typing import Any

from pydantic import ValidationError

from diffbehav.suite.editor import allowed_keys
from diffbehav.suite.problems import Problem, meant
from diffbehav.suite.strict_yaml import Plain

_WANTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def invalid_fields(error: ValidationError, *, noun: str, schema: dict[str, Any]) -> list[Problem]:
    """One problem for each error in a `suite` or a `policy` file, which `schema` describes."""
    command = "diffbehav schema" if noun == "suite" else f"diffbehav schema --{noun}"
    found = [_problem(each, schema, command) for each in error.errors(include_url=False)]
    return [problem._replace(id=f"{noun}.{problem.id}") for problem in found]


def _problem(each: Any, schema: dict[str, Any], command: str) -> Problem:
    path, kind = each["loc"], each["type"]
    value = each["input"]
    if kind == "extra_forbidden":
        hint = meant(str(path[-1]), allowed_keys(path[:-1], schema))
        fix = f"rename the key, or run `{command}` and enable editor completion"
        return Problem("unknown_key", path, f"unknown key{hint}", fix, at_key=True)
    if kind == "missing":
        reason = f"missing key `{path[-1]}`"
        return Problem(
            "missing_key", path[:-1], reason, f"add `{path[-1]}:`; it has no default", at_key=True
        )
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        key = "effect" if each["ctx"]["discriminator"] == "'effect'" else "kind"
        if kind == "union_tag_not_found":
            return Problem(
                "missing_key", path, f"missing key `{key}`", f"add `{key}:`; it has no default", at_key=True
            )
        reason = f"unknown {key} {each['ctx']['tag']!r}"
        return Problem("value", (*path, key), reason, f"use {each['ctx']['expected_tags']}")
    if kind in _WANTED:
        return Problem(
            "type", path, f"wants {_WANTED[kind]}, got {_shown(value)}", f"write {_WANTED[kind]}"
        )
    if kind == "too_short":
        return Problem("value", path, "is empty", "write at least one")
    message = each["msg"].removeprefix("Value error, ").replace("Input should", "must")
    if kind != "value_error":
        message = f"{message[:1].lower()}{message[1:]}, got {_shown(value)}"
    return Problem("value", path, message, f"run `{command}` for what the field may hold")


def _shown(value: Any) -> str:
    if isinstance(value, Plain):
        return str(value) or "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
