"""A conversation that goes on after tool results."""

from collections.abc import Sequence
from typing import Any

from diffbehav.episode.arguments import json_object
from diffbehav.episode.refusals import Refused
from diffbehav.episode.simulation import Result
from diffbehav.records import Message, ToolCall


def continued(
    messages: Sequence[Message], *, content: str, calls: Sequence[ToolCall], results: Sequence[Result]
) -> list[Message]:
    """`messages`, the model's turn and the results of its calls, in the format of suite conditions.

    Calls that no result speaks of are left out. Blanks between the text and the calls are the chat template's
    affair, so those at the end of `content` are dropped.
    """
    made = sum(len(message.get("tool_calls") or ()) for message in messages)
    answered = list(zip(calls, results, strict=False))
    turn: dict[str, Any] = {
        "role": "assistant",
        "content": content.rstrip(),
        "tool_calls": [
            {"id": f"call_{number}", "type": "function", "function": {"name": call.name, "arguments": _sent(call)}}
            for number, (call, _) in enumerate(answered, start=made + 1)
        ],
    }
    told = [
        {"role": "tool", "content": result.text, "tool_call_id": f"call_{number}", "name": call.name}
        for number, (call, result) in enumerate(answered, start=made + 1)
    ]
    return [*messages, turn, *told]


def _sent(call: ToolCall) -> Any:
    """Arguments as chat templates want them: an object, or the text as it was where it is none."""
    try:
        return json_object(call.arguments)
    except Refused:
        return call.arguments
