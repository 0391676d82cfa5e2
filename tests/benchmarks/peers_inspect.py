"""The Inspect task of `tests.benchmarks.peers`; the Inspect that is measured loads this file, diffbehav never does."""

import json
from pathlib import Path
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    GenerateConfig,
    get_model,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolCall, ToolInfo


@task
def conditions(cases: str) -> Task:
    """One answer to each case of a JSONL file, with the tools and the seed of the case; nothing is graded."""
    read = map(json.loads, Path(cases).read_text(encoding="utf-8").splitlines())
    dataset = [
        Sample(
            id=case["id"], input=[_message(each) for each in case["messages"]],
            metadata={"tools": case["tools"], "seed": case["seed"]},
        )
        for case in read
    ]  # fmt: skip
    return Task(dataset=dataset, solver=ask())


@solver
def ask() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001
        tools = [ToolInfo(**tool["function"]) for tool in state.metadata["tools"]]
        config = GenerateConfig(seed=state.metadata["seed"])
        state.output = await get_model().generate(state.messages, tools=tools, config=config)
        return state

    return solve


def _message(said: dict[str, Any]) -> ChatMessage:
    if said["role"] == "system":
        return ChatMessageSystem(content=said["content"])
    if said["role"] == "user":
        return ChatMessageUser(content=said["content"])
    if said["role"] == "tool":
        return ChatMessageTool(content=said["content"], tool_call_id=said["tool_call_id"])
    calls = [
        ToolCall(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in said.get("tool_calls", ())
    ]
    return ChatMessageAssistant(content=said["content"], tool_calls=calls or None)
