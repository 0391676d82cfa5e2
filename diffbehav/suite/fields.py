"""Field types of a suite: text as written, typed numbers, free JSON."""

from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from diffbehav.suite.strict_yaml import Plain

_ANY_SCALAR = {"type": ["string", "number", "boolean", "null"]}


def as_written(value: Any) -> Any:
    """The text of a scalar as it stands in the file: `no`, `2026-01-01` and `3.10` stay what they are."""
    if isinstance(value, Plain) and value == "":
        raise ValueError('nothing is written here; write "" for an empty text')
    return str(value) if isinstance(value, str) else value


def core(value: Any) -> Any:
    """The YAML 1.2 value of a scalar."""
    return value.core if isinstance(value, Plain) else value


def core_deep(value: Any) -> Any:
    """The YAML 1.2 values of everything below."""
    if isinstance(value, dict):
        return {key: core_deep(item) for key, item in value.items()}
    if isinstance(value, list):
        return [core_deep(item) for item in value]
    return core(value)


def iso_date(text: str) -> str:
    """`text`, if it is a date written YYYY-MM-DD."""
    if date.fromisoformat(text).isoformat() != text:
        raise ValueError(f"{text!r} is not a date written YYYY-MM-DD")
    return text


def one_or_more(value: Any) -> Any:
    """A list, where one bare text stands for a list of one."""
    return [value] if isinstance(value, str) else value


Written = Annotated[str, BeforeValidator(as_written), WithJsonSchema(_ANY_SCALAR)]
Text = Annotated[str, BeforeValidator(as_written)]
Date = Annotated[
    str,
    BeforeValidator(as_written),
    AfterValidator(iso_date),
    WithJsonSchema({"type": "string", "format": "date"}),
]
Whole = Annotated[int, BeforeValidator(core)]
Real = Annotated[float, BeforeValidator(core)]
FreeJson = Annotated[dict[str, Any], BeforeValidator(core_deep)]
OneOrMore = Annotated[
    list[Written],
    BeforeValidator(one_or_more),
    WithJsonSchema({"anyOf": [_ANY_SCALAR, {"type": "array", "minItems": 1, "items": _ANY_SCALAR}]}),
]


class Strict(BaseModel):
    """No unknown key, no conversion, no change after loading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=False
    )
