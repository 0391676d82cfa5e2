"""Combinations of levels that must not occur, closed under what they imply together.

A rule is a mask over the levels of some columns; it forbids the rows in which every mask holds. Two rules can imply a
third: where `x=1, y=1` and `x=1, y=2` are forbidden and y has no other level, so is `x=1`. With every implied rule
at hand, a row of which only some columns are set can be completed to an allowed row if and only if no rule forbids
it already, which is what a greedy design needs. (Multi-valued resolution; Yu, Lei, Kacker and Kuhn (2015) call the
result minimum invalid tuples.)
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from diffbehav.errors import InputError

Rule = Mapping[int, np.ndarray]
"""Column -> bool mask over its levels."""

OPEN = -1
"""Stands in a row where no level is chosen yet."""

_MOST = 1000


class _Clause(NamedTuple):
    masks: dict[int, np.ndarray]
    origin: frozenset[int]
    """Positions of the declared rules that imply it."""


class Forbidden:
    """The rules over columns with `radices` levels; InputError where they leave no row at all."""

    def __init__(self, radices: Sequence[int], rules: Sequence[Rule]) -> None:
        self.radices = tuple(radices)
        self._rules = [clause.masks for clause in _closed(self.radices, rules)]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def hits(self, rows_RF: np.ndarray) -> np.ndarray:
        """bool [R]: whether a rule forbids the row, however its open columns are set."""
        hit = np.zeros(len(rows_RF), dtype=bool)
        for rule in self._rules:
            hit |= _holds(rule, rows_RF)
        return hit

    def choices(self, rows_RF: np.ndarray, column: int) -> np.ndarray:
        """bool [R, level]: what an open column can be set to in rows that no rule forbids; at least one level."""
        free = np.ones((len(rows_RF), self.radices[column]), dtype=bool)
        for rule in self._rules:
            if column in rule:
                others = {other: mask for other, mask in rule.items() if other != column}
                free[_holds(others, rows_RF)] &= ~rule[column]
        return free

    def possible(self, columns: Sequence[int]) -> np.ndarray:
        """bool, one for each combination of levels of `columns`, the last varying fastest: whether it can occur."""
        radices = [self.radices[column] for column in columns]
        rows = np.full((int(np.prod(radices)), len(self.radices)), OPEN, dtype=np.int32)
        rows[:, list(columns)] = np.indices(radices, dtype=np.int32).reshape(len(radices), -1).T
        return ~self.hits(rows)

    def within(self, columns: Sequence[int]) -> "Forbidden":
        """What is left to observe in rows of these columns alone, numbered in this order."""
        place = {column: position for position, column in enumerate(columns)}
        kept = [rule for rule in self._rules if rule.keys() <= place.keys()]
        rules = [{place[column]: mask for column, mask in rule.items()} for rule in kept]
        return self._closed_already([self.radices[column] for column in columns], rules)

    def renamed(self, names: Sequence[np.ndarray]) -> "Forbidden":
        """The same rules where level k of column c is called what was `names[c][k]`."""
        rules = [{column: mask[names[column]] for column, mask in rule.items()} for rule in self._rules]
        return self._closed_already(self.radices, rules)

    @classmethod
    def _closed_already(cls, radices: Sequence[int], rules: list[dict[int, np.ndarray]]) -> "Forbidden":
        made = cls(radices, ())
        made._rules = rules
        return made


def _holds(rule: Rule, rows_RF: np.ndarray) -> np.ndarray:
    """bool [R]: whether every mask holds; on an open column none does."""
    holds = np.ones(len(rows_RF), dtype=bool)
    for column, mask in rule.items():
        values = rows_RF[:, column]
        holds &= mask[values] & (values != OPEN)
    return holds


def _closed(radices: Sequence[int], rules: Sequence[Rule]) -> list[_Clause]:
    clauses = _strongest(
        [
            _Clause({column: mask for column, mask in rule.items() if not mask.all()}, frozenset({position}))
            for position, rule in enumerate(rules)
            if all(mask.any() for mask in rule.values())
        ]
    )
    while True:
        impossible = next((clause for clause in clauses if not clause.masks), None)
        if impossible is not None:
            which = ", ".join(f"exclude[{position}]" for position in sorted(impossible.origin))
            raise InputError(f"nothing is left to ask: {which} together forbid every cell; remove one or narrow it")
        implied = [each for column, radix in enumerate(radices) for each in _implied(clauses, column, radix)]
        grown = _strongest(clauses + implied)
        if {_key(clause) for clause in grown} == {_key(clause) for clause in clauses}:
            return clauses
        clauses = grown


def _implied(clauses: Sequence[_Clause], column: int, radix: int) -> Iterator[_Clause]:
    """What follows from rules that leave no level of `column` when they hold together."""
    having = [clause for clause in clauses if column in clause.masks]
    if not having or not np.logical_or.reduce([clause.masks[column] for clause in having]).all():
        return
    pending = [(np.zeros(radix, dtype=bool), _Clause({}, frozenset()))]
    made = 0
    while pending:
        taken, so_far = pending.pop()
        if taken.all():
            made += 1
            if made > _MOST:
                raise _too_many()
            yield so_far
            continue
        level = int(np.argmin(taken))
        for clause in having:
            if clause.masks[column][level]:
                joined = _joined(so_far, clause, without=column)
                if joined is not None:
                    pending.append((taken | clause.masks[column], joined))


def _joined(one: _Clause, other: _Clause, *, without: int) -> _Clause | None:
    """Both at once, or None where they never hold together."""
    masks = dict(one.masks)
    for column, mask in other.masks.items():
        if column != without:
            masks[column] = masks[column] & mask if column in masks else mask
            if not masks[column].any():
                return None
    return _Clause(masks, one.origin | other.origin)


def _strongest(clauses: Sequence[_Clause]) -> list[_Clause]:
    """The clauses that no other one of them makes superfluous."""
    kept = list[_Clause]()
    for clause in sorted(clauses, key=lambda each: (len(each.masks), -sum(map(int, map(np.sum, each.masks.values()))))):
        if not any(_covers(stronger, clause) for stronger in kept):
            kept.append(clause)
        if len(kept) > _MOST:
            raise _too_many()
    return kept


def _covers(wide: _Clause, narrow: _Clause) -> bool:
    """Whether `wide` forbids everything that `narrow` forbids."""
    return wide.masks.keys() <= narrow.masks.keys() and not any(
        (narrow.masks[column] & ~mask).any() for column, mask in wide.masks.items()
    )


def _key(clause: _Clause) -> tuple[tuple[int, bytes], ...]:
    return tuple(sorted((column, mask.tobytes()) for column, mask in clause.masks.items()))


def _too_many() -> InputError:
    return InputError(
        f"the exclusions imply more than {_MOST:,} others when taken together; merge them or remove levels instead"
    )
