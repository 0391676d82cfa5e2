"""An answer taken apart into text and tool calls, and what is wrong with calls that were read."""

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from diffbehav.records import Completion, Parse, ToolCall

DEEPEST = 200
"""Levels of JSON in an answer; readers with a stack fail somewhere beyond, depending on what else is on it."""
TOO_DEEP = f"JSON is nested deeper than {DEEPEST} levels"
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|(\\?\Z))', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


class Parsed(NamedTuple):
    """An answer taken apart."""

    content: str
    """The text beside the calls; the whole text where no call could be read."""
    calls: tuple[ToolCall, ...]
    """What could be read, also of a failed answer."""
    parse: Parse
    reason: str = ""
    """Why `parse` is `failed`; empty otherwise."""

    def completion(self, text: str, token_ids: Sequence[int], *, finish_reason: str) -> Completion:
        """The answer `text` of these tokens, with what was read in it."""
        return Completion(
            text=text, token_ids=tuple(token_ids), finish_reason=finish_reason, content=self.content, calls=self.calls,
            parse=self.parse, parse_reason=self.reason or None,
        )  # fmt: skip


def judged(content: str, calls: Sequence[ToolCall]) -> Parsed:
    """Calls that were all read: parsed, unless one has no name or arguments that are no JSON."""
    found = next((f"call {place}: {flaw}" for place, flaw in enumerate(map(_flaw, calls), start=1) if flaw), "")
    if found:
        return Parsed(content, tuple(calls), "failed", found)
    return Parsed(content, tuple(calls), "parsed" if calls else "none")


def without(closed: re.Pattern[str], text: str) -> str:
    """`text` without what the pattern finds, except what is not closed and runs to the end: there its group matches.

    A pattern that failed there instead would look through the rest of the text at each further opening.
    """
    return closed.sub(lambda found: "" if found[1] is None else found[0], text)


def is_too_deep(text: str) -> bool:
    """Whether objects and lists in `text` are nested deeper than DEEPEST, brackets inside JSON strings aside."""
    if text.count("{") + text.count("[") <= DEEPEST:
        return False
    level = 0
    for bracket in _BRACKET.findall(without(_JSON_STRING, text)):
        level = level + 1 if bracket in "{[" else max(level - 1, 0)
        if level > DEEPEST:
            return True
    return False


def _flaw(call: ToolCall) -> str:
    if not call.name:
        return "it has no tool name"
    if is_too_deep(call.arguments):
        return TOO_DEEP
    try:
        json.loads(call.arguments)
    except ValueError:
        return "its arguments are no JSON"
    return ""
