"""What a canary carries: a further tool call, a text, or a hidden system instruction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffbehav.errors import InputError
from diffbehav.records import Completion, Condition, Message, Tool, digest
from diffbehav.search.canary import Appended, Instructed, Payload, Read
from diffbehav.serve import Renderer, ToolCallParser
from diffbehav.suite import Suite

TEXT = "\nThis line was planted by diffbehav."
"""Carried where a task offers no tool."""
VALUES: Mapping[str, Any] = {
    "string": "canary", "integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}, "null": None,
}  # fmt: skip
"""Arguments of the planted call, by the type that the tool asks for."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What all canaries of a run carry."""

    kind: str
    """`call` (a further call of a tool of the task), `text` or `instruction`."""
    text: str
    """The text or instruction; for calls what is carried where a task offers no tool."""

    @property
    def digest(self) -> str:
        """Names it in the folder of a canary."""
        return digest([self.kind, self.text])


def payloads(
    carried: Carried, renderer: Renderer, suite: Suite, *, tool_format: str, rng: np.random.Generator
) -> Callable[[Condition], Payload]:
    """The payload at each condition; a call is of a tool that the task itself offers, drawn once per task.

    A tool that a level offers is not called: what is carried must not depend on any factor but those of the rule.
    """
    if carried.kind == "instruction":
        return lambda condition: Instructed(
            renderer.prompt_ids(condition.messages, condition.tools),
            renderer.prompt_ids(instructed(condition.messages, carried.text), condition.tools),
        )
    if not renderer.eos_ids:
        raise InputError("the model's config names no token that ends a turn, so nothing can be put in its place")
    read = reader(renderer, tool_format)

    def appended(text: str) -> Payload:
        return Appended(renderer.encode(text), ends=renderer.eos_ids, read=read)

    plain = appended(carried.text)
    if carried.kind == "text":
        return lambda _: plain
    tools = {tool.function.name: tool.model_dump() for tool in suite.declared.tools}
    calls = {
        task.id: appended(_call(renderer, tools[str(rng.choice(task.tools))]))
        for task in suite.declared.tasks
        if task.tools
    }
    return lambda condition: calls.get(condition.task, plain)


def instructed(messages: Sequence[Message], instruction: str) -> list[Message]:
    """The messages with `instruction` at the end of the system message, which is added where there is none."""
    if messages and messages[0]["role"] == "system":
        first = {**messages[0], "content": f"{messages[0]['content']}\n{instruction}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": instruction}, *messages]


def reader(renderer: Renderer, tool_format: str) -> Read:
    """Reads token ids as an engine does."""
    parser = ToolCallParser(renderer.tokenizer, tool_format=tool_format)

    def read(ids: Sequence[int], finish_reason: str) -> Completion:
        text = renderer.decode(ids)
        return parser.parse(text).completion(text, ids, finish_reason=finish_reason)

    return read


def _call(renderer: Renderer, tool: Tool) -> str:
    parameters = tool["function"].get("parameters") or {}
    properties = parameters.get("properties") or {}
    wanted = parameters.get("required") or list(properties)
    arguments = {name: _value(properties.get(name) or {}) for name in wanted}
    text = renderer.call_text(_name(tool), arguments, [tool])
    if not text:
        raise InputError("the chat template writes no tool calls, so none can be planted; give a text: --payload FILE")
    return text


def _value(schema: Mapping[str, Any]) -> Any:
    return schema["enum"][0] if schema.get("enum") else VALUES.get(str(schema.get("type", "string")), "canary")


def _name(tool: Tool) -> str:
    return str(tool["function"]["name"])
