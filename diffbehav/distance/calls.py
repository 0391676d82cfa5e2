"""How far the tool calls of two turns are apart, and which calls and arguments make the difference."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from diffbehav.distance.arguments import Arguments, changes, compact, distance, read
from diffbehav.distance.assignment import cheapest_pairs


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


class CallDistances(NamedTuple):
    """The calls of N pairs of answers compared."""

    distance_N: np.ndarray
    """float64 [N] in [0, 1]: 0 = the same multiset of calls, 1 = nothing in common."""
    extra_N: np.ndarray
    """int64 [N]: calls of the candidate without a counterpart of that tool."""
    missing_N: np.ndarray
    """int64 [N]: calls of the trusted model without a counterpart of that tool."""
    changes_N: list[tuple[CallChange, ...]]
    """The differences of each pair; empty where the distance is 0."""


class _Turn(NamedTuple):
    distance: float
    extra: int
    missing: int
    changes: tuple[CallChange, ...]


_SAME = _Turn(0.0, 0, 0, ())


def call_distances(
    candidate_N: Sequence[str],
    trusted_N: Sequence[str],
    *,
    severities: Mapping[str, float],
    default_severity: float,
) -> CallDistances:
    """Compare the calls of each pair of turns, parallel calls included, whatever their order.

    The inputs are JSON lists of {"name", "arguments"}, the arguments as text. Calls of one tool are paired:
    identical ones first, then the pairing with the least sum of argument distances; a pair costs severity x
    argument distance. What is left over has no namesake on the other side: each costs its severity, two that
    face each other cost the larger of theirs. The sum is divided by what it would be if no call had anything
    in common with another. `severities` maps a tool to (0, 1]; other tools have `default_severity`.
    """
    for tool, severity in [*severities.items(), ("default", default_severity)]:
        if not (math.isfinite(severity) and 0.0 < severity <= 1.0):
            raise ValueError(f"severity of {tool!r} is {severity!r}: it must be above 0 and at most 1")
    weights = _Severities(severities, default_severity)
    seen: dict[tuple[str, str], _Turn] = {}
    turns = []
    for pair in zip(candidate_N, trusted_N, strict=True):
        turn = _SAME if pair[0] == pair[1] else seen.get(pair)
        if turn is None:
            turn = seen[pair] = _compare(_calls(pair[0]), _calls(pair[1]), weights)
        turns.append(turn)
    return CallDistances(
        np.array([turn.distance for turn in turns], dtype=np.float64),
        np.array([turn.extra for turn in turns], dtype=np.int64),
        np.array([turn.missing for turn in turns], dtype=np.int64),
        [turn.changes for turn in turns],
    )


class _Pair(NamedTuple):
    candidate: Arguments
    trusted: Arguments
    distance: float


class _Severities(NamedTuple):
    by_tool: Mapping[str, float]
    default: float

    def of(self, tool: str) -> float:
        return self.by_tool.get(tool, self.default)


_Calls = dict[str, list[str]]


def _calls(text: str) -> _Calls:
    """Tool -> the texts of its calls' arguments, in the order of the turn."""
    by_tool: _Calls = {}
    for call in json.loads(text):
        by_tool.setdefault(call["name"], []).append(call["arguments"])
    return by_tool


def _compare(candidate: _Calls, trusted: _Calls, severities: _Severities) -> _Turn:
    cost = 0.0
    extra: list[tuple[str, Arguments]] = []
    missing: list[tuple[str, Arguments]] = []
    found: list[CallChange] = []
    for tool in [*candidate, *(tool for tool in trusted if tool not in candidate)]:
        pairs, alone, absent = _paired(candidate.get(tool, []), trusted.get(tool, []))
        cost += severities.of(tool) * sum(pair.distance for pair in pairs)
        found += [
            CallChange(change.edit, tool, change.path, change.candidate, change.trusted)
            for pair in pairs
            if pair.distance > 0.0
            for change in changes(pair.candidate, pair.trusted)
        ]
        extra += [(tool, arguments) for arguments in alone]
        missing += [(tool, arguments) for arguments in absent]
    found += [CallChange("extra_call", tool, "$", compact(call.value), None) for tool, call in extra]
    found += [CallChange("missing_call", tool, "$", None, compact(call.value)) for tool, call in missing]
    weights = [severities.of(tool) for tool, _ in extra], [severities.of(tool) for tool, _ in missing]
    cost += _disjoint_cost(*weights)
    worst = _disjoint_cost(_weights(candidate, severities), _weights(trusted, severities))
    return _Turn(min(cost / worst, 1.0) if found else 0.0, len(extra), len(missing), tuple(found))


def _weights(calls: _Calls, severities: _Severities) -> list[float]:
    return [severities.of(tool) for tool, texts in calls.items() for _ in texts]


def _disjoint_cost(candidate: list[float], trusted: list[float]) -> float:
    """Least cost of calls that share no tool: they face each other by falling severity, the larger counts."""
    heights = sorted(candidate, reverse=True), sorted(trusted, reverse=True)
    shorter = min(len(candidate), len(trusted))
    facing = sum(map(max, heights[0][:shorter], heights[1][:shorter]))
    return facing + sum(heights[0][shorter:]) + sum(heights[1][shorter:])


def _paired(candidate: list[str], trusted: list[str]) -> tuple[list[_Pair], list[Arguments], list[Arguments]]:
    """Calls of one tool: the pairs that are not identical, and what is left over on either side."""
    rows, columns = _without(candidate, trusted), _without(trusted, candidate)
    cost_RC = [[distance(row, column) for column in columns] for row in rows]
    column_of = _partners(cost_RC, columns=len(columns))
    pairs = [_Pair(rows[row], columns[column], cost_RC[row][column]) for row, column in column_of.items()]
    paired_columns = set(column_of.values())
    return (
        pairs,
        [call for row, call in enumerate(rows) if row not in column_of],
        [call for column, call in enumerate(columns) if column not in paired_columns],
    )


def _partners(cost_RC: list[list[float]], *, columns: int) -> dict[int, int]:
    """Row -> column of the cheapest pairing, rows in order; the longer side keeps some alone."""
    if len(cost_RC) <= columns:
        return dict(enumerate(cheapest_pairs(cost_RC)))
    cost_CR = [[costs[column] for costs in cost_RC] for column in range(columns)]
    return dict(sorted((row, column) for column, row in enumerate(cheapest_pairs(cost_CR))))


def _without(texts: list[str], others: list[str]) -> list[Arguments]:
    """Calls that have no identical counterpart in `others`, each counterpart used once."""
    left, kept = Counter(others), []
    for text in texts:
        if left[text] > 0:
            left[text] -= 1
        else:
            kept.append(read(text))
    return kept
