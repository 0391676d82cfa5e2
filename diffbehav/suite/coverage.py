"""What was asked and what was not: combinations of levels that conditions exposed, counted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, log, log1p, prod
from typing import Literal, NamedTuple

import numpy as np

from diffbehav.errors import InputError
from diffbehav.suite.forbidden import TASK
from diffbehav.suite.grid import Grid
from diffbehav.suite.levels import derive
from diffbehav.suite.model import CoveringDesign, RandomDesign
from diffbehav.suite.suite import Suite

LISTED = 50
"""Underexposed combinations that are named."""
MOST_COMBINATIONS = 4_000_000
"""Sets of columns with more combinations than this are not counted."""
SENSITIVITY = 0.5
"""Chance that one exposure to a trigger shows, taken as given wherever it was not measured, and stated beside r."""
MISS = 0.05
"""Chance that all of the exposures needed are silent."""

Kind = Literal["task", "declared", "pooled", "derived"]

Possible = Callable[[Sequence[int]], np.ndarray]
"""Columns -> bool for each combination of their levels, the last varying fastest: whether it can occur at all."""


class Exposed(NamedTuple):
    """The combinations of levels of some columns."""

    columns: tuple[int, ...]
    possible: int
    """How many can occur."""
    once: int
    """How many of these a condition has."""
    often: int
    """How many of these at least `exposures` conditions have."""
    least: int
    """Exposures of the rarest of them."""
    rarest: tuple[int, ...]
    """The position of its level in each of the columns; empty where none can occur."""


class Underexposed(NamedTuple):
    """A combination that can occur and that fewer conditions have than are needed."""

    columns: tuple[int, ...]
    levels: tuple[int, ...]
    """The position of the level in each of the columns."""
    exposures: int
    share: float
    """Share of the grid that has it, exclusions aside."""


class Total(NamedTuple):
    """Sums over all sets of so many axes."""

    sets: int
    uncounted: int
    """Sets that have more than MOST_COMBINATIONS and are in none of the sums."""
    possible: int
    once: int
    often: int


class Column(NamedTuple):
    """One thing that coverage is counted over."""

    name: str
    kind: Kind
    source: str | None
    """The pooled factor it is a level of, or the factor it is derived from."""
    levels: Sequence[str]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Exposure of every level, every pair of levels and so on."""

    exposures: int
    """What `often` counts."""
    axes: int
    """The first so many columns; any other one is a function of one of them."""
    exposed: tuple[Exposed, ...]
    """Single columns first, then pairs of columns, then triples."""
    uncounted: tuple[tuple[int, ...], ...]
    """Sets of columns with more than MOST_COMBINATIONS."""
    underexposed: tuple[Underexposed, ...]
    """The largest by share, of equal ones the rarest first; at most LISTED."""
    unlisted: int
    """How many more there are."""

    def total(self, strength: int) -> Total:
        """The sum over all sets of `strength` axes. Derived columns are no part of it: a coarser view of an axis
        would only make the share larger."""
        found = [each for each in self.exposed if self._is_of_axes(each.columns, strength)]
        left_out = sum(self._is_of_axes(columns, strength) for columns in self.uncounted)
        sums = (sum(getattr(each, name) for each in found) for name in ("possible", "once", "often"))
        return Total(len(found), left_out, *sums)

    def _is_of_axes(self, columns: tuple[int, ...], strength: int) -> bool:
        return len(columns) == strength and max(columns) < self.axes


def coverage(
    digits_CF: np.ndarray,
    radices: Sequence[int],
    *,
    strength: int,
    exposures: int,
    possible: Possible | None = None,
    source_of: Mapping[int, int] | None = None,
) -> Coverage:
    """Coverage of levels, pairs, ... up to `strength` columns; where `possible` is None, every combination is.

    `source_of`: derived column, all behind the axes -> the axis that decides it. Sets that hold both are left out.
    """
    source_of = source_of or {}
    sets = [
        columns
        for width in range(1, min(strength, len(radices)) + 1)
        for columns in combinations(range(len(radices)), width)
        if not any(source_of.get(column) in columns for column in columns)
    ]
    size = {columns: prod(radices[column] for column in columns) for columns in sets}
    uncounted = tuple(columns for columns in sets if size[columns] > MOST_COMBINATIONS)
    table = _Table(digits_CF, radices, possible)
    exposed = [_exposed(table, columns, exposures) for columns in sets if size[columns] <= MOST_COMBINATIONS]
    below = [each.columns for each in exposed if each.often < each.possible]
    listed = list[Underexposed]()
    for columns in sorted(below, key=size.__getitem__):
        listed += _few(table, columns, exposures)[: LISTED - len(listed)]
        if len(listed) == LISTED:
            break
    unlisted = sum(each.possible - each.often for each in exposed) - len(listed)
    return Coverage(exposures, len(radices) - len(source_of), tuple(exposed), uncounted, tuple(listed), unlisted)


def suite_coverage(
    suite: Suite, indices: Iterable[int], *, strength: int, exposures: int
) -> tuple[tuple[Column, ...], Coverage]:
    """The columns (task, axes, derived factors) and the coverage by the cells `indices` of the grid."""
    grid = Grid(suite)
    axis_of = {name: grid.names.index(source) for name, source in suite.derived_names.items()}
    roots = [*range(len(grid.names)), *axis_of.values()]
    levels_of_root = [np.arange(radix, dtype=np.int32) for radix in grid.radices]
    levels_of_root += [_derived_codes(suite, grid, name) for name in axis_of]
    columns_of_suite = _columns(suite)
    radices = [len(column.levels) for column in columns_of_suite]
    cells = np.fromiter(indices, dtype=np.int64)
    digits_CF = np.empty((len(cells), len(radices)), dtype=np.int32, order="F")
    for column, root in enumerate(roots):
        digits_CF[:, column] = levels_of_root[column][cells // grid.strides[root] % grid.radices[root]]
    forbidden = grid.forbidden()

    def possible(columns: Sequence[int]) -> np.ndarray:
        """The combinations that the allowed cells leave."""
        under = sorted({roots[column] for column in columns})
        places = np.flatnonzero(forbidden.possible([TASK if root == 0 else root - 1 for root in under]))
        at = dict(zip(under, np.unravel_index(places, [grid.radices[root] for root in under]), strict=True))
        levels = [levels_of_root[column][at[roots[column]]] for column in columns]
        can = np.zeros([radices[column] for column in columns], dtype=bool)
        can[tuple(levels)] = True
        return can.reshape(-1)

    source_of = dict(enumerate(axis_of.values(), start=len(grid.names)))
    found = coverage(
        digits_CF, radices, strength=strength, exposures=exposures, possible=possible, source_of=source_of
    )
    return columns_of_suite, found


def independent(suite: Suite, conditions: int) -> tuple[int, str]:
    """How many of `conditions` drawn ones count as independent contexts, at least, and why."""
    design = suite.design
    if isinstance(design, RandomDesign) and design.neighbours:
        group = design.neighbours + 1
        return -(-conditions // group), (
            f"a drawn cell and its neighbours ({design.neighbours} each) count as one context, because they differ in "
            "one factor only"
        )
    if isinstance(design, CoveringDesign):
        return conditions, (
            "every condition counts; the rows of a covering design are balanced against each other and not drawn "
            f"independently, so for rules over more than {design.strength} factors this is an approximation"
        )
    return conditions, "every condition counts: all are drawn at random without replacement"


def draws_of(suite: Suite) -> int:
    """Passes that one run makes over the grid: those of a covering design, else one."""
    return suite.design.passes if isinstance(suite.design, CoveringDesign) else 1


def exposures_needed(firing_rate: float, *, miss: float) -> int:
    """Exposures after which a trigger that fires at `firing_rate` was silent with probability `miss` at most."""
    if not (0 < firing_rate <= 1 and 0 < miss < 1):
        raise InputError(
            f"firing rate {firing_rate!r} and miss {miss!r} give no number of exposures; "
            "both are probabilities above 0, and miss is below 1"
        )
    if firing_rate == 1:
        return 1
    return max(1, ceil(log(miss) / log1p(-firing_rate) - 1e-9))


class _Table:
    """Conditions [C, F] of which combinations of columns are counted."""

    def __init__(self, digits_CF: np.ndarray, radices: Sequence[int], possible: Possible | None) -> None:
        self._digits_CF = digits_CF
        self._possible = possible
        self._known: tuple[tuple[int, ...], np.ndarray] = ((), np.zeros(len(digits_CF), dtype=np.int32))
        self.radices = radices

    def counts(self, columns: tuple[int, ...]) -> np.ndarray:
        """int64: how many conditions have each combination of levels, the last column varying fastest."""
        code_C = self._codes(columns[:-1]) * np.int32(self.radices[columns[-1]])
        code_C += self._digits_CF[:, columns[-1]]
        return np.bincount(code_C, minlength=prod(self.radices[column] for column in columns))

    def possible(self, columns: tuple[int, ...]) -> np.ndarray:
        """bool, as many: whether the combination can occur."""
        if self._possible is not None:
            return self._possible(columns)
        return np.ones(prod(self.radices[column] for column in columns), dtype=bool)

    def named(self, code: int, columns: tuple[int, ...]) -> tuple[int, ...]:
        """The position of the level in each of the columns."""
        return tuple(map(int, np.unravel_index(code, [self.radices[column] for column in columns])))

    def _codes(self, columns: tuple[int, ...]) -> np.ndarray:
        """Of the last columns asked for it is kept: sets come in an order in which most share all but one."""
        if self._known[0] != columns:
            code_C = np.zeros(len(self._digits_CF), dtype=np.int32)
            for column in columns:
                code_C *= np.int32(self.radices[column])
                code_C += self._digits_CF[:, column]
            self._known = (columns, code_C)
        return self._known[1]


def _exposed(table: _Table, columns: tuple[int, ...], exposures: int) -> Exposed:
    count_K, can_K = table.counts(columns), table.possible(columns)
    once, often = int(np.sum(can_K & (count_K > 0))), int(np.sum(can_K & (count_K >= exposures)))
    if not can_K.any():
        return Exposed(columns, 0, once, often, 0, ())
    rarest = int(np.where(can_K, count_K, np.iinfo(np.int64).max).argmin())
    return Exposed(columns, int(can_K.sum()), once, often, int(count_K[rarest]), table.named(rarest, columns))


def _few(table: _Table, columns: tuple[int, ...], exposures: int) -> list[Underexposed]:
    """The rarest of the combinations that have fewer exposures, at most LISTED."""
    count_K = table.counts(columns)
    few_K = np.flatnonzero(table.possible(columns) & (count_K < exposures))
    few_K = few_K[np.argsort(count_K[few_K], kind="stable")][:LISTED]
    share = 1 / len(count_K)
    return [Underexposed(columns, table.named(code, columns), int(count_K[code]), share) for code in few_K.tolist()]


def _columns(suite: Suite) -> tuple[Column, ...]:
    pool_of = {axis: name for name, pool in suite.pools.items() for axis in pool.axes.values()}
    declared = [
        Column(name, "pooled" if name in pool_of else "declared", pool_of.get(name), suite.levels_of(name))
        for name in suite.factor_names
    ]
    derived = [
        Column(name, "derived", source, suite.levels_of(name)) for name, source in suite.derived_names.items()
    ]
    return (Column("task", "task", None, suite.task_ids), *declared, *derived)


def _derived_codes(suite: Suite, grid: Grid, name: str) -> np.ndarray:
    """int32, one for each level of its source: the position of the level of the derived factor `name`."""
    declared = suite.declared.derived[name]
    position = {level: place for place, level in enumerate(suite.levels_of(name))}
    source = grid.axes[grid.names.index(declared.source)]
    return np.array([position[derive(level, part=declared.part)] for level in source], dtype=np.int32)
