"""Combinations of levels that must not occur, closed under what they imply together.

A rule is a mask over the levels of some columns; it forbids the rows in which every mask holds. Two rules can imply a
third: where `x=1, y=1` and `x=1, y=2` are forbidden and y has no other level, so is `x=1`. With every implied rule
at hand, a row of which only some columns are set can be completed to an allowed row if and only if no rule forbids
it already, which is what a greedy design needs. (Multi-valued resolution; Yu, Lei, Kacker and Kuhn (2015) call the
result minimum invalid tuples.)

The task is no column: a row is allowed if it is for at least one task. Most exclusions name tasks, and what they
imply for all tasks together would be far too much to write down.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import NamedTuple

import numpy as np

from diffbehav.errors import InputError

Rule = Mapping[int, np.ndarray]
"""Column -> bool mask over its levels; TASK -> bool mask over the tasks."""

TASK = -1
OPEN = -1
"""Stands in a row where no level is chosen yet."""

_MOST = 1000
_BLOCK = 4096


class _Clause(NamedTuple):
    masks: dict[int, np.ndarray]
    origin: frozenset[int]
    """Positions of the declared rules that imply it."""


class Forbidden:
    """The rules over columns with `radices` levels; InputError where they leave no row for any task."""

    def __init__(self, radices: Sequence[int], rules: Sequence[Rule], *, tasks: int = 1) -> None:
        self.radices = tuple(radices)
        self.tasks = tasks
        self._rules = [clause.masks for clause in _closed(self.radices, rules, tasks)]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def hits(self, rows_RF: np.ndarray) -> np.ndarray:
        """bool [R]: whether the row is forbidden for every task, however its open columns are set."""
        forbidden: np.ndarray = np.all(~self.tasks_for(rows_RF), axis=1)
        return forbidden

    def tasks_for(self, rows_RF: np.ndarray) -> np.ndarray:
        """bool [R, task]: which tasks the row is allowed for."""
        free_RT = np.ones((len(rows_RF), self.tasks), dtype=bool)
        if self._rules:
            for start in range(0, len(rows_RF), _BLOCK):
                free_RT[start : start + _BLOCK] = self._table.tasks_for(rows_RF[start : start + _BLOCK])
        return free_RT

    def choices(self, rows_RF: np.ndarray, column: int) -> np.ndarray:
        """bool [R, level]: what an open column can be set to; at least one level where the row is not forbidden."""
        free_RL = np.ones((len(rows_RF), self.radices[column]), dtype=bool)
        if any(column in rule for rule in self._rules):
            rows_RF = rows_RF.copy()
            for level in range(self.radices[column]):
                rows_RF[:, column] = level
                free_RL[:, level] = ~self.hits(rows_RF)
        return free_RL

    def possible(self, columns: Sequence[int]) -> np.ndarray:
        """bool, one for each combination of levels of `columns`, the last varying fastest: whether it can occur.

        TASK may be the first of the columns.
        """
        proper = [column for column in columns if column != TASK]
        inside = self.within(proper)
        size = prod(inside.radices)
        if not inside:
            return np.ones(size * (self.tasks if len(proper) < len(columns) else 1), dtype=bool)
        rows = np.indices(inside.radices, dtype=np.int32).reshape(len(proper), size).T
        return inside.tasks_for(rows).T.reshape(-1) if len(proper) < len(columns) else ~inside.hits(rows)

    def within(self, columns: Sequence[int]) -> "Forbidden":
        """What is left to observe in rows of these columns alone, numbered in this order."""
        place = {TASK: TASK} | {column: position for position, column in enumerate(columns)}
        kept = [rule for rule in self._rules if rule.keys() <= place.keys()]
        rules = [{place[column]: mask for column, mask in rule.items()} for rule in kept]
        return self._with([self.radices[column] for column in columns], rules)

    def renamed(self, names: Sequence[np.ndarray]) -> "Forbidden":
        """The same rules where level k of column c is called what was `names[c][k]`."""
        rules = [{c: mask if c == TASK else mask[names[c]] for c, mask in rule.items()} for rule in self._rules]
        return self._with(self.radices, rules)

    def _with(self, radices: Sequence[int], closed: list[dict[int, np.ndarray]]) -> "Forbidden":
        made = Forbidden(radices, (), tasks=self.tasks)
        made._rules = closed
        return made

    @cached_property
    def _table(self) -> "_Table":
        return _Table(self.radices, self._rules, tasks=self.tasks)


class _Table:
    """Which rules hold in a row, looked up column by column as bits."""

    def __init__(self, radices: Sequence[int], rules: Sequence[Rule], *, tasks: int) -> None:
        every = np.ones(tasks, dtype=np.float32)
        self._tasks_NT = np.stack([rule[TASK].astype(np.float32) if TASK in rule else every for rule in rules])
        self._columns = sorted({column for rule in rules for column in rule} - {TASK})
        bits, starts = list[np.ndarray](), [0]
        for column in self._columns:
            anything, nothing = np.ones(radices[column] + 1, dtype=bool), np.zeros(1, dtype=bool)
            holds = [np.concatenate([nothing, rule[column]]) if column in rule else anything for rule in rules]
            bits.append(np.packbits(np.stack(holds, axis=1), axis=1))
            starts.append(starts[-1] + radices[column] + 1)
        self._bits = np.concatenate([*bits, np.empty((0, -(-len(rules) // 8)), dtype=np.uint8)])
        self._starts = np.array(starts[:-1], dtype=np.int64)
        """Where the entries of a column begin: the one for OPEN, then one for each level."""

    def tasks_for(self, rows_RF: np.ndarray) -> np.ndarray:
        """bool [R, task]: the tasks for which no rule holds."""
        places_RC = rows_RF[:, self._columns] + 1 + self._starts
        holds_RN = np.bitwise_and.reduce(self._bits[places_RC], axis=1)
        rules_RN = np.unpackbits(holds_RN, axis=1, count=len(self._tasks_NT)).astype(np.float32)
        free_RT: np.ndarray = rules_RN @ self._tasks_NT == 0
        return free_RT


def _without(rule: Rule, column: int) -> dict[int, np.ndarray]:
    return {other: mask for other, mask in rule.items() if other != column}


def _closed(radices: Sequence[int], rules: Sequence[Rule], tasks: int) -> list[_Clause]:
    clauses = _strongest(
        [
            _Clause({column: mask for column, mask in rule.items() if not mask.all()}, frozenset({position}))
            for position, rule in enumerate(rules)
            if all(mask.any() for mask in rule.values())
        ]
    )
    while True:
        always = [clause for clause in clauses if clause.masks.keys() <= {TASK}]
        if always and np.logical_or.reduce([each.masks.get(TASK, np.ones(tasks, dtype=bool)) for each in always]).all():
            which = sorted(frozenset().union(*(each.origin for each in always)))
            named = ", ".join(f"exclude[{position}]" for position in which)
            raise InputError(f"nothing is left to ask: {named} together forbid every cell; remove one or narrow it")
        implied = [each for column, radix in enumerate(radices) for each in _implied(clauses, column, radix)]
        grown = _strongest(clauses + implied)
        if set(map(_key, grown)) == set(map(_key, clauses)):
            return clauses
        clauses = grown


def _implied(clauses: Sequence[_Clause], column: int, radix: int) -> Iterator[_Clause]:
    """What follows from rules that leave no level of `column` when they hold together.

    The rules are joined level by level: at each, a join that does not reach it yet takes in a rule that does.
    """
    having = [clause for clause in clauses if column in clause.masks]
    if not having:
        return
    masks_NL = np.stack([clause.masks[column] for clause in having])
    if not masks_NL.any(axis=0).all():
        return
    joined = [_Clause({column: np.zeros(radix, dtype=bool)}, frozenset())]
    for level in np.unique(masks_NL, axis=1, return_index=True)[1].tolist():
        reaching = [clause for clause in having if clause.masks[column][level]]
        longer = [
            each if each.masks[column][level] else _joined(each, clause, on=column)
            for each in joined
            for clause in reaching
        ]
        joined = _strongest([each for each in longer if each is not None])
    yield from (_Clause(_without(each.masks, column), each.origin) for each in joined)


def _joined(one: _Clause, other: _Clause, *, on: int) -> _Clause | None:
    """Both at once, for the levels of column `on` that either is about; None where they never hold together."""
    masks = dict(one.masks)
    for column, mask in other.masks.items():
        if column == on:
            masks[column] = masks[column] | mask
        elif column in masks:
            masks[column] = masks[column] & mask
        else:
            masks[column] = mask
        if not masks[column].any():
            return None
    return _Clause(masks, one.origin | other.origin)


def _strongest(clauses: Sequence[_Clause]) -> list[_Clause]:
    """The clauses that no other one of them makes superfluous."""
    kept = list[_Clause]()
    distinct = {_key(clause): clause for clause in reversed(clauses)}.values()
    for clause in sorted(distinct, key=lambda each: (len(each.masks), -sum(int(m.sum()) for m in each.masks.values()))):
        if not any(_covers(stronger, clause) for stronger in kept):
            kept.append(clause)
        if len(kept) > _MOST:
            raise InputError(
                f"the exclusions imply more than {_MOST:,} others when taken together; "
                "merge them, or remove levels instead of excluding them"
            )
    return kept


def _covers(wide: _Clause, narrow: _Clause) -> bool:
    """Whether `wide` forbids everything that `narrow` forbids."""
    return wide.masks.keys() <= narrow.masks.keys() and not any(
        (narrow.masks[column] & ~mask).any() for column, mask in wide.masks.items()
    )


def _key(clause: _Clause) -> tuple[tuple[int, bytes], ...]:
    return tuple(sorted((column, mask.tobytes()) for column, mask in clause.masks.items()))
