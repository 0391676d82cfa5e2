"""The simulated world of one condition: declarations filled in with its levels, as plain JSON values."""

import posixpath
from typing import Any

from diffbehav.suite.model import SuiteFile
from diffbehav.suite.templates import RenderError, Values, render, variables
from diffbehav.suite.world import WorldTable

AT_CALL = ("call", "found")
"""Variables that only a call gives values to."""


def simulated(declared: SuiteFile, values: Values) -> dict[str, Any] | None:
    """The world that answers calls where the variables are `values`; None where the suite asks for one turn.

    Templates of tools are kept: they are filled in at each call, over `values` as far as they use them.
    """
    world = declared.world
    if world is None:
        return None
    files: dict[str, str] = {}
    for path, content in world.files.items():
        place = render(path, values)
        if not place.startswith("/") or posixpath.normpath(place) != place:
            raise RenderError(f"the path {place!r} of a file is not absolute, or holds `.`, `..`, `//` or a final `/`")
        if place in files:
            raise RenderError(f"two files of the world have the path {place!r}")
        files[place] = render(content, values)
    used = frozenset[str]().union(*(variables(text) for texts in tool_texts(world).values() for text in texts.values()))
    return {
        "max_turns": declared.max_turns,
        "files": files,
        "tables": {name: filled_json(rows, values) for name, rows in world.tables.items()},
        "tools": {name: tool.model_dump(mode="json") for name, tool in world.tools.items()},
        "values": {name: values[name] for name in sorted(used) if name not in AT_CALL},
    }


def tool_texts(world: WorldTable) -> dict[str, dict[str, str]]:
    """Tool -> the templates of its rule, by key."""
    return {
        name: {key: text for key, text in tool.model_dump().items() if key != "effect" and text is not None}
        for name, tool in world.tools.items()
    }


def filled_json(value: Any, values: Values) -> Any:
    """`value` with every text inside filled in."""
    if isinstance(value, str):
        return render(value, values)
    if isinstance(value, dict):
        return {key: filled_json(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [filled_json(item, values) for item in value]
    return value
