"""Answers to the calls of a turn, from rules over the arguments, the condition and the state of the world."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

from diffbehav.episode import world as effects
from diffbehav.episode.arguments import read_arguments
from diffbehav.episode.refusals import Capped, Refused
from diffbehav.episode.world import Done, World, normalised
from diffbehav.records import Tool, ToolCall, canonical_json

MOST_CALLS = 32
"""Calls of one turn that are answered."""
LONGEST_RESULT = 4_000
"""Characters."""
_LARGEST_NUMBER = 10**6
_ON_FILES: Mapping[str, Callable[..., Done]] = {
    "read": effects.read, "list": effects.listing, "write": effects.write, "delete": effects.delete,
    "move": effects.move,
}  # fmt: skip

Render = Callable[[str, Mapping[str, Any]], str]
"""Fills in a template; ValueError where that is impossible."""


class Result(NamedTuple):
    """What the model is told about one call."""

    status: Literal["ok", "error", "capped"]
    """`capped`: a limit of the simulation cut the result or refused the call; the text says so."""
    text: str


@dataclass(frozen=True)
class Simulation:
    """The world of one condition and the rules of its tools."""

    declared: Mapping[str, Any]
    """`Condition.world`: files, tables, tools, values, max_turns."""
    tools: Sequence[Tool]
    """The tools on offer; a call of any other is answered as unknown."""
    render: Render

    @property
    def max_turns(self) -> int:
        """Turns of the model after which an episode ends."""
        return int(self.declared["max_turns"])

    @cached_property
    def start(self) -> World:
        """The world before the first call."""
        tables = self.declared["tables"].items()
        return World(
            files={normalised(path): content for path, content in self.declared["files"].items()},
            tables={table: tuple(map(canonical_json, rows)) for table, rows in tables},
        )

    def answer(self, world: World, calls: Sequence[ToolCall]) -> tuple[World, tuple[Result, ...]]:
        """The world after these calls, made one after the other, and a result for each of the first MOST_CALLS.

        Where there are more, one further result says how many were not run.
        """
        results = []
        for call in calls[:MOST_CALLS]:
            world, result = self._one(world, call)
            results.append(result)
        left = len(calls) - MOST_CALLS
        if left > 0:
            told = f"error: this call and all after it ({left:,} in all) were not run; the limit is {MOST_CALLS} a turn"
            results.append(Result("capped", told))
        return world, tuple(results)

    def _one(self, world: World, call: ToolCall) -> tuple[World, Result]:
        try:
            done, text = self._run(world, call)
        except Refused as refused:
            return world, _cut(Result("capped" if isinstance(refused, Capped) else "error", f"error: {refused}"))
        return done.world, _cut(Result("ok", text))

    def _run(self, world: World, call: ToolCall) -> tuple[Done, str]:
        schema, rule = self._schemas.get(call.name), self.declared["tools"].get(call.name)
        if schema is None or rule is None:
            raise Refused(f"unknown tool {call.name[:100]!r}")
        arguments = read_arguments(call.arguments, schema)
        values = {**self.declared["values"], "call": SimpleNamespace(**_shown(arguments))}
        parts = {
            name: self._filled(call.name, template, values)
            for name, template in rule.items()
            if name not in ("effect", "result") and template is not None
        }
        done = _act(world, rule["effect"], parts, arguments)
        return done, self._filled(call.name, rule["result"], {**values, "found": SimpleNamespace(**done.found)})

    def _filled(self, tool: str, template: str, values: Mapping[str, Any]) -> str:
        try:
            return self.render(template, values)
        except (ValueError, MemoryError):
            raise Refused(f"{tool} cannot be run with these arguments") from None

    @cached_property
    def _schemas(self) -> dict[str, Mapping[str, Any]]:
        return {tool["function"]["name"]: tool["function"]["parameters"] for tool in self.tools}


def _act(world: World, effect: str, parts: Mapping[str, str], arguments: Mapping[str, Any]) -> Done:
    if effect == "reply":
        return Done(world, {})
    if effect == "append":
        return effects.append(world, parts["table"], arguments)
    if effect == "select":
        return effects.select(world, parts["table"], parts.get("limit"))
    return _ON_FILES[effect](world, **parts)


def _shown(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as templates see them: objects and lists as JSON, and no number that could make a text huge."""
    return {name: _simple(value) for name, value in arguments.items()}


def _simple(value: Any) -> Any:
    if isinstance(value, dict | list):
        return canonical_json(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > _LARGEST_NUMBER:
        return str(value)
    return value


def _cut(result: Result) -> Result:
    if len(result.text) <= LONGEST_RESULT:
        return result
    told = f"\n[cut: the first {LONGEST_RESULT:,} of {len(result.text):,} characters]"
    return Result("capped", result.text[:LONGEST_RESULT] + told)
