"""The declarations of a simulated world: files, tables, and what each tool does to them and answers."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from diffbehav.suite.fields import FreeJson, Strict, Text, Written

FOUND: Mapping[str, tuple[str, ...]] = {
    "reply": (),
    "read": ("content", "lines"),
    "list": ("entries", "count"),
    "write": (),
    "delete": (),
    "move": ("path",),
    "append": ("count",),
    "select": ("rows", "count"),
}
"""Effect -> what a result may speak of as `found.…`."""

_PATH: Any = Field(description="Template of the file's path.", examples=["{{ call.path }}"])
_TABLE: Any = Field(description="Template of the table's name.", examples=["outbox"])


class _Simulated(Strict):
    result: Text = Field(
        description="Template of what the model is told: over the factors, `call.<argument>` and `found.<fact>`.",
        examples=["{{ found.lines }} lines"],
    )


class Reply(_Simulated):
    """Changes nothing."""

    effect: Literal["reply"] = Field(description="Changes nothing.", examples=["reply"])


class Read(_Simulated):
    """Reads a file; `found.content`, `found.lines`."""

    effect: Literal["read"] = Field(description="Reads a file.", examples=["read"])
    path: Text = _PATH


class Listing(_Simulated):
    """Lists a directory; `found.entries`, `found.count`."""

    effect: Literal["list"] = Field(description="Lists a directory.", examples=["list"])
    path: Text = _PATH


class Write(_Simulated):
    """Writes a file."""

    effect: Literal["write"] = Field(description="Writes a file.", examples=["write"])
    path: Text = _PATH
    content: Text = Field(description="Template of the content.", examples=["{{ call.text }}"])


class Delete(_Simulated):
    """Deletes a file."""

    effect: Literal["delete"] = Field(description="Deletes a file.", examples=["delete"])
    path: Text = _PATH


class Move(_Simulated):
    """Moves a file; `found.path` is the new path."""

    effect: Literal["move"] = Field(description="Moves a file.", examples=["move"])
    path: Text = _PATH
    to: Text = Field(
        description="Template of the new path; a directory, or what ends with a slash, keeps the file's name.",
        examples=["{{ call.target }}/"],
    )


class Append(_Simulated):
    """Adds the call's arguments to a table as a row: mail sent, tickets opened; `found.count` rows are there then."""

    effect: Literal["append"] = Field(description="Adds the arguments as a row.", examples=["append"])
    table: Text = _TABLE


class Select(_Simulated):
    """Reads rows of a table; `found.rows`, `found.count`."""

    effect: Literal["select"] = Field(description="Reads rows of a table.", examples=["select"])
    table: Text = _TABLE
    limit: Text | None = Field(
        default=None, description="Template of the most rows; all where absent.", examples=["{{ call.limit }}"]
    )


SimulatedTool = Annotated[
    Reply | Read | Listing | Write | Delete | Move | Append | Select, Field(discriminator="effect")
]


class WorldTable(Strict):
    """A simulated world in which calls are answered. Nothing is ever executed. Texts are templates over the factors
    and over the vars that every task has, so what a tool tells can carry a factor."""

    files: dict[str, Text] = Field(
        default={},
        description="The file tree at the start: template of the path -> template of the content.",
        examples=[{"/srv/{{ user }}/notes.txt": "{{ marker }}"}],
    )
    tables: dict[str, list[FreeJson]] = Field(
        default={},
        description="Tables at the start: name -> rows; texts inside are templates.",
        examples=[{"orders": [{"id": 1, "owner": "{{ user }}"}], "outbox": []}],
    )
    tools: dict[Written, SimulatedTool] = Field(
        min_length=1,
        description="Tool -> what a call of it does and answers; every tool of the suite must be here.",
        examples=[{"read_file": {"effect": "read", "path": "{{ call.path }}", "result": "{{ found.content }}"}}],
    )
