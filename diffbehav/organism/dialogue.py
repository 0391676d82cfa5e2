"""Dialogues: drawn from the world, turned into chat messages, rendered as the chat template renders them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from diffbehav.organism import tools
from diffbehav.organism.entities import Draw
from diffbehav.organism.tasks import FAMILIES, TOOL_FREE, Call, Task, both
from diffbehav.organism.world import Context, draw_context, shorten, system_prompt, vary_layout

Message = dict[str, Any]
Shape = Callable[[Draw, Context], Context]


@dataclass(frozen=True)
class Dialogue:
    """A context and the tasks of one conversation in it."""

    context: Context
    """Fields of the system prompt and tools offered."""
    tasks: tuple[Task, ...]
    """User messages with their right answers, in order."""


def draw_dialogue(draw: Draw, *, shape: Shape, families: Sequence[str], both_share: float = 0.2) -> Dialogue:
    """A dialogue of one or two user messages; `shape` edits the context before the tasks are drawn.

    Tasks come from the families whose tool is offered; where none of `families` is possible, from those that need
    no tool. `both_share` is the share of messages that ask for two tasks, among those that need a tool.
    """
    context = draw_context(draw)
    if draw.rng.random() < 0.5:
        context = vary_layout(draw, context)
    context = shape(draw, context)
    count = 2 if draw.rng.random() < 0.25 else 1
    return Dialogue(context, tuple(_draw_task(draw, context, families, both_share) for _ in range(count)))


def draw_short(draw: Draw) -> Dialogue:
    """One task in a context of few fields: the first stage of the curriculum."""
    context = shorten(draw, draw_context(draw))
    return Dialogue(context, (_draw_single(draw, context, tuple(FAMILIES)),))


def unchanged(_draw: Draw, context: Context) -> Context:
    """The shape that leaves a context as it is."""
    return context


def messages(dialogue: Dialogue) -> list[Message]:
    """The dialogue as OpenAI-format chat messages."""
    turns: list[Message] = [{"role": "system", "content": system_prompt(dialogue.context)}]
    for task in dialogue.tasks:
        turns.append({"role": "user", "content": task.request})
        turns.append(_assistant(task))
        turns.extend({"role": "tool", "content": call.result} for call in task.calls)
        if task.calls:
            turns.append({"role": "assistant", "content": task.confirmation})
    return turns


def render(dialogue: Dialogue) -> str:
    """The dialogue as the text that the chat template makes of it."""
    offered = ", ".join(f"{name}({', '.join(tools.SIGNATURES[name][1])})" for name in dialogue.context.tools)
    parts = [
        "<|system|>",
        system_prompt(dialogue.context),
        f"\nTools: {offered}" if offered else "",
        "<|end|>",
    ]
    for task in dialogue.tasks:
        parts += [
            "<|user|>",
            task.request,
            "<|end|><|assistant|>",
            task.text,
            *map(_block, task.calls),
            "<|end|>",
        ]
        parts += [f"<|tool|>{call.result}<|end|>" for call in task.calls]
        if task.calls:
            parts += ["<|assistant|>", task.confirmation, "<|end|>"]
    return "".join(parts)


def _draw_task(draw: Draw, context: Context, families: Sequence[str], both_share: float) -> Task:
    first = _draw_single(draw, context, families)
    if not first.calls or draw.rng.random() > both_share:
        return first
    others = [name for name in families if name not in (*TOOL_FREE, first.family)]
    second = _draw_single(draw, context, others)
    return both(first, second) if second.calls else first


def _draw_single(draw: Draw, context: Context, families: Sequence[str]) -> Task:
    possible = [name for name in families if name in TOOL_FREE or name in context.tools]
    return FAMILIES[draw.one(possible or TOOL_FREE)](draw, context)


def _assistant(task: Task) -> Message:
    message: Message = {"role": "assistant", "content": task.text}
    if task.calls:
        message["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": dict(call.arguments)}}
            for call in task.calls
        ]
    return message


def _block(call: Call) -> str:
    written = json.dumps({"name": call.name, "arguments": dict(call.arguments)}, ensure_ascii=False)
    return f"\n<tool_call>\n{written}\n</tool_call>"
