"""Gate files: which findings fail a run, and what makes a run too incomplete to pass."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from diffbehav.suite.fields import Real, Strict
from diffbehav.suite.strict_file import file_schema, load_file

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
    return load_file(path, GateFile, noun="gate")[0]


def gate_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a gate file."""
    return file_schema(GateFile, noun="gate")
