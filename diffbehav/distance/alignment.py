"""Calls of two turns set against each other: in any order, or in the order they were made."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.optimize import linear_sum_assignment

from diffbehav.distance.arguments import Arguments, distance

MOST_CELLS = 1_000_000
"""Pairs of calls that are set against each other at most."""
MOST_WORK = 400_000_000
"""Product of the characters of the differing arguments of both sides at most: seconds, whatever they hold."""
MOST_FINE_WORK = 4_000_000
"""The same where lists are compared item by item, which takes 100 times as long; beyond, items are equal or not."""
_CHARACTERS_AT_ONCE = 64


class Call(NamedTuple):
    """One call, read."""

    tool: str
    key: str
    """Equal for arguments that are equal as JSON, defaults left out."""
    arguments: Arguments
    """Without defaults; `text` is what the model wrote."""


SeverityOf = Callable[[str], float]
T = TypeVar("T")


class Apart:
    """Distances of the arguments of calls of one tool of these two turns, each pair measured once."""

    def __init__(self, candidate: Sequence[Call], trusted: Sequence[Call]) -> None:
        alone = len(candidate) <= 1 and len(trusted) <= 1
        self._fine = alone or sum(_lengths(candidate).values()) * sum(_lengths(trusted).values()) <= MOST_FINE_WORK
        self._known: dict[tuple[str, str], float] = {}

    def __call__(self, candidate: Call, trusted: Call) -> float:
        """In [0, 1]: 0 = the same value, 1 = nothing in common."""
        if candidate.key == trusted.key:
            return 0.0
        pair = candidate.key, trusted.key
        if pair not in self._known:
            self._known[pair] = distance(candidate.arguments, trusted.arguments, fine=self._fine)
        return self._known[pair]


def cheapest_pairs(rows: Sequence[Call], columns: Sequence[Call], apart: Apart) -> list[tuple[int, int, float]]:
    """Row, column and distance of the one-to-one pairing of least total distance, exactly; rows in order."""
    if not rows or not columns:
        return []
    if len(rows) == len(columns) == 1:
        return [(0, 0, apart(rows[0], columns[0]))]
    cost_RC = np.array([[apart(row, column) for column in columns] for row in rows])
    chosen = zip(*linear_sum_assignment(cost_RC), strict=True)
    return [(int(row), int(column), float(cost_RC[row, column])) for row, column in chosen]


def in_order(candidate: Sequence[Call], trusted: Sequence[Call], *, severity_of: SeverityOf, apart: Apart) -> float:
    """Edit distance of two sequences of calls in [0, 1]: 0 = the same calls in the same order.

    A call more or less costs its severity, one in the place of another the larger of the two, and of the same tool
    severity x distance of the arguments. The sum is divided by what it would be if no call had anything in common
    with another. NaN where there are too many calls to set against each other.
    """
    start, end = _common_ends(candidate, trusted)
    parting = candidate[start : len(candidate) - end], trusted[start : len(trusted) - end]
    if is_too_much(*parting):
        return math.nan

    def between(a: Call, b: Call) -> float:
        return severity_of(a.tool) * apart(a, b) if a.tool == b.tool else max(severity_of(a.tool), severity_of(b.tool))

    worst = _worst([severity_of(call.tool) for call in candidate], [severity_of(call.tool) for call in trusted])
    cost = _edits(*parting, severity_of=lambda call: severity_of(call.tool), between=between)
    return min(cost / worst, 1.0) if worst else 0.0


def is_too_much(candidate: Sequence[Call], trusted: Sequence[Call]) -> bool:
    """Whether comparing every call of one side with every call of the other goes beyond MOST_CELLS or MOST_WORK."""
    if len(candidate) <= 1 and len(trusted) <= 1:
        return False
    if len(candidate) * len(trusted) > MOST_CELLS:
        return True
    rows, columns = _lengths(candidate), _lengths(trusted)
    lengths_R, lengths_C = sum(rows.values()), sum(columns.values())
    long_texts = _CHARACTERS_AT_ONCE * (lengths_R * len(columns) + lengths_C * len(rows))
    return min(lengths_R * lengths_C, long_texts) > MOST_WORK


def _lengths(calls: Sequence[Call]) -> dict[str, int]:
    """Characters of the arguments that differ from each other, by their key."""
    return {call.key: len(call.arguments.text) for call in calls}


def _common_ends(candidate: Sequence[Call], trusted: Sequence[Call]) -> tuple[int, int]:
    """Calls that are equal at the beginning and, of the rest, at the end: pairing them is never dearer."""
    shorter = min(len(candidate), len(trusted))
    start = next((n for n in range(shorter) if candidate[n][:2] != trusted[n][:2]), shorter)
    end = next((n for n in range(shorter - start) if candidate[-1 - n][:2] != trusted[-1 - n][:2]), shorter - start)
    return start, end


def _worst(candidate: Sequence[float], trusted: Sequence[float]) -> float:
    """What the two sequences would cost if no call had anything in common with another, given their severities."""
    if len({*candidate, *trusted}) <= 1:
        return max(sum(candidate), sum(trusted))
    if len(candidate) * len(trusted) > MOST_CELLS:
        return math.nan
    return _edits(candidate, trusted, severity_of=lambda severity: severity, between=max)


def _edits(
    candidate: Sequence[T],
    trusted: Sequence[T],
    *,
    severity_of: Callable[[T], float],
    between: Callable[[T, T], float],
) -> float:
    """Least cost of making one sequence the other, by dynamic programming over their prefixes."""
    costs = [0.0]
    for other in trusted:
        costs.append(costs[-1] + severity_of(other))
    for call in candidate:
        lost = severity_of(call)
        diagonal, costs[0] = costs[0], costs[0] + lost
        for column, other in enumerate(trusted, start=1):
            replaced = diagonal + between(call, other)
            diagonal = costs[column]
            costs[column] = min(replaced, costs[column] + lost, costs[column - 1] + severity_of(other))
    return costs[-1]
