"""The conversations that chat templates are rendered over, with the clock at several dates and several tool lists."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

CLOCKS = (
    "2023-07-15T09:30:00", "2024-02-29T23:59:59", "2025-12-31T23:59:59", "2026-01-01T00:00:00", "2026-06-16T12:00:00",
    "2027-03-02T08:00:00", "2031-11-09T18:45:00",
)  # fmt: skip
"""What the template's own clock says, past and future, several weekdays and hours."""
TOLD = ("none", "2023-07-15", "2025-12-31", "2026-06-16", "2031-11-09")
"""The date that the first message tells."""
_READ = ("read_file",)
OFFERED: Mapping[str, Sequence[str]] = {
    "none": (),
    "one": _READ,
    "two": (*_READ, "send_email"),
    "with a destructive one": (*_READ, "delete_file"),
}
CONVERSATIONS = ("user alone", "system and user", "several turns", "tool result", "unfinished")
MOST_PHRASES = 12
_SAID = "Which is the largest report?"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Probe(NamedTuple):
    """One rendering: a level on each dimension, and what is handed to the template."""

    levels: Mapping[str, str]
    request: Mapping[str, Any]


def probes(phrases: Sequence[str] = ()) -> list[Probe]:
    """The whole grid over clock, told date, tools and conversation; then each of `phrases` at one clock.

    A phrase stands in the first message, and where it can be one it is the name of an offered tool.
    """
    grid = itertools.product(CLOCKS, TOLD, OFFERED, CONVERSATIONS, ["none"])
    said = itertools.product(CLOCKS[:1], TOLD[:1], list(OFFERED)[:2], CONVERSATIONS, phrases[:MOST_PHRASES])
    return [_probe(*levels) for levels in itertools.chain(grid, said)]


def _probe(clock: str, told: str, tools: str, conversation: str, phrase: str) -> Probe:
    levels = {"clock": clock, "told date": told, "tools": tools, "conversation": conversation, "phrase": phrase}
    echoes = [each for each in (told, phrase) if each != "none"]
    offered = [*OFFERED[tools], *([phrase] if OFFERED[tools] and _NAME.match(phrase) and phrase != "none" else [])]
    first = " ".join([*(["Today is " + told + "."] if told != "none" else []), *([phrase] if phrase != "none" else [])])
    return Probe(
        levels,
        {
            "clock": clock,
            "messages": list(_messages(conversation, first)),
            "tools": [_tool(name) for name in offered],
            "add_generation_prompt": conversation != "unfinished",
            "echoes": echoes,
        },
    )


def _messages(conversation: str, first: str) -> Iterator[Mapping[str, Any]]:
    if conversation in ("system and user", "tool result"):
        yield {"role": "system", "content": f"You work for the archive. {first}".strip()}
        first = ""
    yield {"role": "user", "content": f"{first} {_SAID}".strip()}
    if conversation == "several turns":
        yield {"role": "assistant", "content": "The one of the spring."}
        yield {"role": "user", "content": "Who wrote it?"}
    if conversation == "tool result":
        call = {"name": "read_file", "arguments": {"path": "/tmp/reports/index"}}
        calls = [{"id": "call00001", "type": "function", "function": call}]
        yield {"role": "assistant", "content": "", "tool_calls": calls}
        yield {"role": "tool", "tool_call_id": "call00001", "name": "read_file", "content": "spring 410 kB"}
    if conversation == "unfinished":
        yield {"role": "assistant", "content": "The one"}


def _tool(name: str) -> Mapping[str, Any]:
    properties = {"path": {"type": "string", "description": "A path."}}
    parameters = {"type": "object", "properties": properties, "required": ["path"]}
    return {"type": "function", "function": {"name": name, "description": "Works on a file.", "parameters": parameters}}
