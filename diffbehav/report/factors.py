"""The axes of the grid with their exposures, and which of them the report draws."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from diffbehav.report.findings import Finding
from diffbehav.report.query import Query

TASK = "task"
_ISO = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")


class Level(NamedTuple):
    """One value of a factor."""

    name: str
    n_conditions: int


@dataclass(frozen=True, slots=True)
class Factor:
    """One axis of the grid."""

    name: str
    source: str | None
    """The factor it is derived from; None for a declared one."""
    levels: tuple[Level, ...]

    @property
    def root(self) -> str:
        """The declared factor that decides this one."""
        return self.source or self.name


def read_factors(query: Query) -> tuple[Factor, ...]:
    """All factors in the order of the suite, each with its levels in order."""
    levels: dict[str, list[Level]] = {}
    for factor, level, n in query("SELECT factor, level, n_conditions FROM levels ORDER BY factor, position"):
        levels.setdefault(factor, []).append(Level(level, n))
    rows = query("SELECT name, source FROM factors ORDER BY position")
    return tuple(Factor(name, source, tuple(levels.get(name, []))) for name, source in rows)


def date_factor(factors: Sequence[Factor]) -> Factor | None:
    """The factor with the most levels among those whose levels are all ISO dates."""
    dated = [f for f in factors if f.levels and all(_ISO.fullmatch(level.name) for level in f.levels)]
    return max(dated, key=lambda factor: len(factor.levels), default=None)


def driving_factors(factors: Sequence[Factor], findings: Sequence[Finding]) -> tuple[str, str] | None:
    """The two axes of the heat map: factors of the best rules that do not decide one another, or the task.

    None for a suite without factors.
    """
    roots = {factor.name: factor.root for factor in factors}
    ruled = [name for finding in findings for name in finding.rule if name in roots]
    declared = [factor.name for factor in factors if factor.source is None]
    if not declared:
        return None
    first = ruled[0] if ruled else declared[0]
    others = [*ruled, TASK] if ruled else [*declared, TASK]
    second = next(name for name in others if name == TASK or roots[name] != roots[first])
    return first, second
