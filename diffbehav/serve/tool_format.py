"""Which tool format a model writes, read from its chat template."""

import re
from typing import Protocol

from diffbehav.errors import InputError
from diffbehav.records import Tool
from diffbehav.serve.tool_parser import FORMATS

AUTO = "auto"
_NAME, _KEY, _VALUE = "get_weather", "city", "Paris"
_PROBE: Tool = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {_KEY: {"type": "string", "description": "Name of the city."}},
            "required": [_KEY],
        },
    },
}
_WRITTEN = {
    "qwen3_coder": rf"\s*<tool_call>\s*<function={_NAME}>\s*<parameter={_KEY}>",
    "hermes": r'\s*<tool_call>\s*\{\s*"(name|arguments)"',
    "mistral": r"\s*\[TOOL_CALLS\]",
    "llama3_json": (
        r'\s*(<\|python_tag\|>)?\s*\{\s*("type"\s*:\s*"function"\s*,\s*)?'
        rf'"name"\s*:\s*"{_NAME}"\s*,\s*"parameters"'
    ),
    "pythonic": rf"\s*\[{_NAME}\({_KEY}=",
}
"""Format -> how a call of the probe begins in it."""


class WritesCalls(Protocol):
    """A Renderer, as far as this module needs it."""

    def call_text(self, name: str, arguments: dict[str, str], tools: list[Tool]) -> str:
        """What the chat template writes for one call behind a text; empty where it writes no calls."""


def chosen_format(named: str, renderer: WritesCalls) -> str:
    """`named` itself, or for `auto` the format in which the chat template writes a call.

    InputError where the template writes no call or one in a form that no format has.
    """
    if named != AUTO:
        return named
    remedy = f"name the format with --tool-format: {', '.join(FORMATS)}."
    try:
        written = renderer.call_text(_NAME, {_KEY: _VALUE}, [_PROBE])
    except InputError as error:
        raise InputError(f"{error} The format of tool calls cannot be told from it; {remedy}") from error
    if not written.strip():
        raise InputError(f"the chat template writes no tool calls, so their format cannot be told from it; {remedy}")
    found = [name for name, pattern in _WRITTEN.items() if re.match(pattern, written)]
    if not found:
        shown = written[:120]
        raise InputError(f"the chat template writes a tool call as {shown!r}, which is none of the formats; {remedy}")
    return found[0]
