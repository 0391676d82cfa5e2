"""Tool calls of an OpenAI-compatible endpoint, which takes answers apart itself."""

import json
from collections.abc import Mapping
from typing import Any

from diffbehav.records import ToolCall
from diffbehav.serve.parsed import Parsed, judged


def parsed_message(message: Mapping[str, Any]) -> Parsed:
    """The `message` of a chat completion, as JSON values: its text and its calls in order.

    Calls that are none are left out and make the message failed; so do arguments that are no JSON, which are kept.
    Arguments given as JSON values are written as JSON.
    """
    content = _text(message.get("content"))
    listed = message.get("tool_calls")
    given = listed if listed is not None else [{"function": one} for one in [message.get("function_call")] if one]
    if not isinstance(given, list):
        return Parsed(content, (), "failed", "tool_calls is no list")
    read = [_call(each) for each in given]
    calls = [call for call in read if call is not None]
    if len(calls) < len(read):
        reason = f"call {read.index(None) + 1} of {len(read)} is no call with name and arguments"
        return Parsed(content, tuple(calls), "failed", reason)
    return judged(content, calls)


def _call(given: Any) -> ToolCall | None:
    kind, key = ("custom", "input") if isinstance(given, dict) and "custom" in given else ("function", "arguments")
    function = given.get(kind) if isinstance(given, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or function.get(key) is None:
        return None
    arguments = function[key]
    # What a custom tool is given is free text.
    as_written = isinstance(arguments, str) and kind == "function"
    return ToolCall(function["name"], arguments if as_written else json.dumps(arguments, ensure_ascii=False))


def _text(content: Any) -> str:
    """The text of a message, which may come in parts."""
    if isinstance(content, list):
        return "".join(str(part["text"]) for part in content if isinstance(part, dict) and part.get("type") == "text")
    return content if isinstance(content, str) else ""
