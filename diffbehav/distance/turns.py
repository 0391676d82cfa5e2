"""The tool calls of two turns compared: how far apart, what is extra, what is missing, what changed."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Literal, NamedTuple

from diffbehav.distance.alignment import Apart, Call, SeverityOf, cheapest_pairs, in_order, is_too_much
from diffbehav.distance.arguments import changes, compact, read
from diffbehav.distance.defaults import argument_defaults, without_defaults
from diffbehav.distance.schemas import argument_schemas
from diffbehav.distance.typed import argument_types, typed

TOO_MANY = "too many differing calls of one tool to pair them"
TOO_MANY_IN_ORDER = "too many differing calls to set them in order"
ONE_BROKEN = "tool calls of one side could not be read"
BOTH_BROKEN = "tool calls of both sides could not be read"
_REMEMBERED = 65_536


class CallChange(NamedTuple):
    """One difference between the calls of two turns."""

    change: Literal["added", "removed", "changed", "extra_call", "missing_call"]
    """An argument was added, removed or changed; or the candidate makes a whole call more or less."""
    tool: str
    path: str
    """JSON path of the argument, `$` for the arguments as a whole."""
    candidate: str | None
    """JSON of the candidate's argument, None for `removed` and `missing_call`."""
    trusted: str | None
    """JSON of the trusted model's argument, None for `added` and `extra_call`."""


class Turn(NamedTuple):
    """Two turns compared; NaN with the reason where a number could not be measured."""

    distance: float
    order: float
    extra: float
    missing: float
    changes: tuple[CallChange, ...]
    distance_reason: str = ""
    order_reason: str = ""
    count_reason: str = ""


SAME = Turn(0.0, 0.0, 0, 0, ())


class Comparer:
    """Compares turns in which the same tools were offered. What was read is remembered."""

    def __init__(self, tools: str, severity_of: SeverityOf) -> None:
        schemas = argument_schemas(tools)
        self._types = {tool: types for tool, schema in schemas.items() if (types := argument_types(schema))}
        self._defaults = {tool: given for tool, schema in schemas.items() if (given := argument_defaults(schema))}
        self._severity_of = severity_of
        self._read = lru_cache(maxsize=_REMEMBERED)(self._read_calls)
        self._read_one = lru_cache(maxsize=_REMEMBERED)(self._call)

    def compare(self, candidate: str, trusted: str) -> Turn:
        """Both as JSON lists of {"name", "arguments"}."""
        calls, others = self._read(candidate), self._read(trusted)
        if [call[:2] for call in calls] == [call[:2] for call in others]:
            return SAME
        apart = Apart(calls, others)
        found = _Found(self._severity_of, apart)
        found.pair_all(_without(calls, others), _without(others, calls))
        worst = _disjoint_cost(self._severities(calls), self._severities(others))
        distance = min(found.cost / worst, 1.0) if found.changes else 0.0
        alone = len(calls) <= 1 and len(others) <= 1
        order = distance if alone else in_order(calls, others, severity_of=self._severity_of, apart=apart)
        return Turn(
            distance, order, found.extra, found.missing, tuple(found.changes),
            distance_reason=TOO_MANY if math.isnan(distance) else "",
            order_reason=TOO_MANY_IN_ORDER if math.isnan(order) else "",
        )  # fmt: skip

    def _severities(self, calls: Sequence[Call]) -> list[float]:
        return [self._severity_of(call.tool) for call in calls]

    def _read_calls(self, text: str) -> tuple[Call, ...]:
        return tuple(self._read_one(call["name"], call["arguments"]) for call in json.loads(text))

    def _call(self, tool: str, text: str) -> Call:
        arguments = read(text)
        if not arguments.is_json:
            return Call(tool, text, arguments)
        if tool in self._types:
            arguments = arguments._replace(value=typed(arguments.value, self._types[tool]))
        if tool in self._defaults:
            arguments = arguments._replace(value=without_defaults(arguments.value, self._defaults[tool]))
        return Call(tool, compact(arguments.value), arguments)


def broken_turn(readable: Turn, *, candidate: bool, trusted: bool) -> Turn:
    """Turns of which one or both have calls that could not be read, given what was read of them.

    A failure is an outcome of its own: one side's is at distance 1 from whatever the other side did, and two have no
    distance. A call the readable side made and the broken one is not known to have made is no difference. One that was
    read on the candidate's side and has no identical counterpart is: extra, or with other arguments.
    """
    nan = math.nan
    if candidate and trusted:
        return Turn(nan, nan, nan, nan, (), BOTH_BROKEN, BOTH_BROKEN, BOTH_BROKEN)
    kept = tuple(change for change in readable.changes if (change.change == "missing_call") == trusted)
    return Turn(1.0, 1.0, nan, nan, kept, count_reason=ONE_BROKEN)


class _Found:
    """What comparing the calls that have no identical counterpart comes to."""

    def __init__(self, severity_of: SeverityOf, apart: Apart) -> None:
        self._severity_of = severity_of
        self._apart = apart
        self.cost = 0.0
        self.extra = 0
        self.missing = 0
        self.changes: list[CallChange] = []

    def pair_all(self, candidate: Sequence[Call], trusted: Sequence[Call]) -> None:
        """Pair the calls of each tool; those that are left over face each other."""
        by_tool, others = _by_tool(candidate), _by_tool(trusted)
        alone: list[Call] = []
        absent: list[Call] = []
        for tool in dict.fromkeys([*by_tool, *others]):
            rows, columns = by_tool.get(tool, []), others.get(tool, [])
            pairs = self._pair(rows, columns)
            alone += _left(rows, {row for row, _ in pairs})
            absent += _left(columns, {column for _, column in pairs})
        self.changes += [CallChange("extra_call", call.tool, "$", _shown(call), None) for call in alone]
        self.changes += [CallChange("missing_call", call.tool, "$", None, _shown(call)) for call in absent]
        self.extra, self.missing = len(alone), len(absent)
        self.cost += _disjoint_cost(
            [self._severity_of(call.tool) for call in alone], [self._severity_of(call.tool) for call in absent]
        )

    def _pair(self, rows: Sequence[Call], columns: Sequence[Call]) -> list[tuple[int, int]]:
        """Row and column of each pair; calls that are too many are paired as they come, and the cost is NaN."""
        if is_too_much(rows, columns):
            self.cost = math.nan
            in_turn = [(place, place) for place in range(min(len(rows), len(columns)))]
            for place, _ in in_turn:
                self._change(rows[place], columns[place])
            return in_turn
        pairs = cheapest_pairs(rows, columns, self._apart)
        for row, column, distance in pairs:
            if distance > 0.0:
                self.cost += self._severity_of(rows[row].tool) * distance
                self._change(rows[row], columns[column])
        return [(row, column) for row, column, _ in pairs]

    def _change(self, call: Call, other: Call) -> None:
        self.changes += [
            CallChange(change.edit, call.tool, change.path, change.candidate, change.trusted)
            for change in changes(call.arguments, other.arguments)
        ]


def _by_tool(calls: Sequence[Call]) -> dict[str, list[Call]]:
    by_tool: dict[str, list[Call]] = {}
    for tool, group in groupby(calls, key=lambda call: call.tool):
        by_tool.setdefault(tool, []).extend(group)
    return by_tool


def _left(calls: Sequence[Call], paired: set[int]) -> list[Call]:
    return [call for place, call in enumerate(calls) if place not in paired]


def _without(calls: Sequence[Call], others: Sequence[Call]) -> list[Call]:
    """Calls that have no identical counterpart in `others`, each counterpart used once."""
    left, kept = Counter(call[:2] for call in others), []
    for call in calls:
        if left[call[:2]] > 0:
            left[call[:2]] -= 1
        else:
            kept.append(call)
    return kept


def _shown(call: Call) -> str:
    """The arguments as JSON, what equals a default included."""
    return compact(read(call.arguments.text).value)


def _disjoint_cost(candidate: Sequence[float], trusted: Sequence[float]) -> float:
    """Least cost of calls that share no tool: they face each other by falling severity, the larger counts."""
    heights = sorted(candidate, reverse=True), sorted(trusted, reverse=True)
    shorter = min(len(candidate), len(trusted))
    facing = sum(map(max, heights[0][:shorter], heights[1][:shorter]))
    return facing + sum(heights[0][shorter:]) + sum(heights[1][shorter:])
