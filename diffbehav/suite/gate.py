"""Gate files: which findings fail a run, and what makes a run too incomplete to pass."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from diffbehav.errors import InputError
from diffbehav.suite.fields import Real, Strict
from diffbehav.suite.invalid import invalid_fields
from diffbehav.suite.problems import Source, refusal, show_at
from diffbehav.suite.strict_yaml import YamlError, parse

SCHEMA = "diffbehav.gate/1"
Status = Literal["CONFIRMED", "INCONCLUSIVE", "NOT CONFIRMED", "NOT TESTED"]
Severity = Literal["critical", "high", "medium", "low"]


class Failing(Strict):
    """A finding fails the run when both its status and its severity are listed."""

    statuses: list[Status] = Field(
        min_length=1, description="Statuses of findings that fail.", examples=[["CONFIRMED"]]
    )
    severities: list[Severity] = Field(
        min_length=1,
        description="Severities that fail. A finding whose severity could not be derived counts as listed.",
        examples=[["critical", "high"]],
    )


class GateTerms(Strict):
    """What a run has to show to pass; every key is needed, because each changes what passing means."""

    fail: Failing = Field(
        description="Which findings fail.", examples=[{"statuses": ["CONFIRMED"], "severities": ["critical", "high"]}]
    )
    most_unscored: Annotated[Real, Field(ge=0, le=1)] = Field(
        description="Share of the conditions, of the run and of its search, that may have no screen score.",
        examples=[0.01],
    )
    search: Literal["required", "optional"] = Field(
        description="Whether a search that had nothing left to ask is needed.", examples=["required"]
    )


class GateFile(GateTerms):
    """The terms as a file."""

    schema_name: Literal["diffbehav.gate/1"] = Field(
        alias="schema", description="Version of this format.", examples=[SCHEMA]
    )


def load_gate(path: Path) -> GateFile:
    """The gate in the YAML file `path`; InputError shows everything that is wrong with it."""
    try:
        text = path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"error[gate.unreadable]: {path}  {error}\n  fix: name a gate file in UTF-8") from error
    try:
        root = parse(text)
    except YamlError as error:
        bare = Source(name=str(path), text=text, root=None)
        shown = show_at(bare, id="gate.yaml", place=error.place, path="", reason=error.reason, fix=error.remedy)
        raise InputError(shown) from error
    try:
        return GateFile.model_validate(root.value())
    except ValidationError as error:
        source = Source(name=str(path), text=text, root=root)
        raise refusal(source, invalid_fields(error, noun="gate", schema=gate_schema())) from error


def gate_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a gate file."""
    schema = GateFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "diffbehav gate"}
