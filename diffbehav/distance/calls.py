"""How far the tool calls of two turns are apart, and which calls and arguments make the difference."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from diffbehav.distance.measured import Measured
from diffbehav.distance.turns import SAME, CallChange, Comparer, Turn, broken_turn

NO_TOOLS = "[]"


class Turns(NamedTuple):
    """The calls of one side's answers."""

    calls_N: Sequence[str]
    """JSON lists of {"name", "arguments"}, the arguments as text: what could be read."""
    broken_N: Sequence[str | None]
    """The whole answer where it holds a call that could not be read, None elsewhere."""


class CallDistances(NamedTuple):
    """The calls of N pairs of answers compared."""

    distance: Measured
    """In [0, 1]: 0 = the same multiset of calls, 1 = nothing in common."""
    order: Measured
    """In [0, 1]: 0 = the same calls in the same order, 1 = nothing in common in its place."""
    extra: Measured
    """Calls of the candidate without a counterpart of that tool."""
    missing: Measured
    """Calls of the trusted model without a counterpart of that tool."""
    changes_N: list[tuple[CallChange, ...]]
    """The differences of each pair; empty where the two distances are 0."""


Compare = Callable[[str, str | None, str, str | None, str], Turn]
"""The candidate's calls and broken answer, the trusted ones, and the tools on offer -> the two turns compared."""


def call_distances(
    candidate: Turns, trusted: Turns, *, tools_N: Iterable[str] | None, compare: Compare
) -> CallDistances:
    """Compare the calls of each pair of turns, parallel calls included.

    `distance` knows no order: calls of one tool are paired, identical ones first, then with the least sum of argument
    distances; a pair costs severity x argument distance. What is left over has no namesake on the other side: each
    costs its severity, two that face each other cost the larger of theirs. The sum is divided by what it would be if
    no call had anything in common with another. `order` is the edit distance of the two sequences with these costs.

    `tools_N` has the tools on offer as JSON lists in the OpenAI format: an optional argument that equals the default
    of its schema counts as left out, and a text where the schema wants an integer is the integer that it spells. None
    where no schema is known. `compare` comes from `comparing`.
    """
    offered = repeat(NO_TOOLS, len(candidate.calls_N)) if tools_N is None else tools_N
    turns = [compare(*pair) for pair in zip(*candidate, *trusted, offered, strict=True)]
    return CallDistances(
        _measured(turns, attrgetter("distance"), attrgetter("distance_reason")),
        _measured(turns, attrgetter("order"), attrgetter("order_reason")),
        _measured(turns, attrgetter("extra"), attrgetter("count_reason")),
        _measured(turns, attrgetter("missing"), attrgetter("count_reason")),
        [turn.changes for turn in turns],
    )


@lru_cache(maxsize=65_536)
def tools_called(calls: str) -> Counter[str]:
    """Tool -> how often the JSON list `calls` of {"name", "arguments"} has it."""
    return Counter(str(call["name"]) for call in json.loads(calls))


def comparing(*, severities: Mapping[str, float], default_severity: float) -> Compare:
    """Compares two turns; equal pairs once.

    `severities` maps a tool to (0, 1]; other tools have `default_severity`.
    """
    for tool, severity in [*severities.items(), ("default", default_severity)]:
        if not (math.isfinite(severity) and 0.0 < severity <= 1.0):
            raise ValueError(f"severity of {tool!r} is {severity!r}: it must be above 0 and at most 1")
    comparers: dict[str, Comparer] = {}
    seen: dict[tuple[str, str, str | None, str | None, str], Turn] = {}

    def severity_of(tool: str) -> float:
        return severities.get(tool, default_severity)

    def compare(calls: str, broken: str | None, others: str, other_broken: str | None, tools: str) -> Turn:
        if calls == others and broken == other_broken:
            return SAME
        key = calls, others, broken, other_broken, tools
        turn = seen.get(key)
        if turn is None:
            if tools not in comparers:
                comparers[tools] = Comparer(tools, severity_of)
            turn = comparers[tools].compare(calls, others)
            if broken is not None or other_broken is not None:
                turn = broken_turn(turn, candidate=broken is not None, trusted=other_broken is not None)
            seen[key] = turn
        return turn

    return compare


def _measured(turns: Sequence[Turn], value: Callable[[Turn], float], reason: Callable[[Turn], str]) -> Measured:
    value_N = np.fromiter(map(value, turns), dtype=np.float64, count=len(turns))
    return Measured(value_N, np.array(list(map(reason, turns)), dtype=object))
