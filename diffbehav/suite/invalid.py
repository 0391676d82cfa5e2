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


def invalid_fields(error: ValidationError) -> list[Problem]:
    """One problem for each error."""
    return [_problem(each) for each in error.errors(include_url=False)]


def _problem(each: Any) -> Problem:
    path, kind = each["loc"], each["type"]
    value = each["input"]
    if kind == "extra_forbidden":
        hint = meant(str(path[-1]), allowed_keys(path[:-1]))
        fix = "rename the key, or run `diffbehav schema` and enable editor completion"
        return Problem("suite.unknown_key", path, f"unknown key{hint}", fix, at_key=True)
    if kind == "missing":
        reason = f"missing key `{path[-1]}`"
        return Problem(
            "suite.missing_key", path[:-1], reason, f"add `{path[-1]}:`; it has no default", at_key=True
        )
    if kind == "union_tag_not_found":
        return Problem(
            "suite.missing_key", path, "missing key `kind`", "add `kind:`; it has no default", at_key=True
        )
    if kind == "union_tag_invalid":
        reason = f"unknown kind {each['ctx']['tag']!r}"
        return Problem("suite.value", (*path, "kind"), reason, f"use {each['ctx']['expected_tags']}")
    if kind in _WANTED:
        return Problem(
            "suite.type", path, f"wants {_WANTED[kind]}, got {_shown(value)}", f"write {_WANTED[kind]}"
        )
    if kind == "too_short":
        return Problem("suite.value", path, "is empty", "write at least one")
    message = each["msg"].removeprefix("Value error, ").replace("Input should", "must")
    if kind != "value_error":
        message = f"{message[:1].lower()}{message[1:]}, got {_shown(value)}"
    return Problem("suite.value", path, message, "run `diffbehav schema` for what the field may hold")


def _shown(value: Any) -> str:
    if isinstance(value, Plain):
        return str(value) or "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
