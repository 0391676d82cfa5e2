"""What was asked and what was not: combinations of levels that conditions exposed, counted."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, log, log1p, prod
from typing import NamedTuple

import numpy as np

from diffbehav.errors import InputError
from diffbehav.suite.forbidden import TASK
from diffbehav.suite.grid import Grid
from diffbehav.suite.levels import derive
from diffbehav.suite.suite import Suite

LISTED = 50
"""Unexposed combinations that are named."""

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


class Unexposed(NamedTuple):
    """A combination that can occur and that no condition has."""

    columns: tuple[int, ...]
    levels: tuple[int, ...]
    """The position of the level in each of the columns."""
    share: float
    """Share of the grid that has it, exclusions aside."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Exposure of every level, every pair of levels and so on."""

    exposures: int
    """What `often` counts."""
    exposed: tuple[Exposed, ...]
    """Single columns first, then pairs of columns, then triples."""
    unexposed: tuple[Unexposed, ...]
    """The largest by share, at most LISTED."""

    def total(self, strength: int) -> Exposed:
        """The sum over all sets of `strength` columns; its `columns` are empty."""
        found = [each for each in self.exposed if len(each.columns) == strength]
        return Exposed((), *(sum(counts) for counts in list(zip(*found, strict=True))[1:]))


def coverage(
    digits_CF: np.ndarray, radices: Sequence[int], *, strength: int, exposures: int, possible: Possible | None = None
) -> Coverage:
    """Coverage of levels, pairs, ... up to `strength` columns; where `possible` is None, every combination is."""
    exposed, unexposed = list[Exposed](), list[Unexposed]()
    tuples = [
        columns
        for width in range(1, min(strength, len(radices)) + 1)
        for columns in combinations(range(len(radices)), width)
    ]
    room = LISTED
    for columns in sorted(tuples, key=lambda each: prod(radices[column] for column in each)):
        count_K = _counts(digits_CF, radices, columns)
        can_K = np.ones(len(count_K), dtype=bool) if possible is None else possible(columns)
        once, often = int(np.sum(can_K & (count_K > 0))), int(np.sum(can_K & (count_K >= exposures)))
        exposed.append(Exposed(columns, int(can_K.sum()), once, often))
        if room and once < exposed[-1].possible:
            found = _named(np.flatnonzero(can_K & (count_K == 0))[:room], radices, columns)
            unexposed += found
            room -= len(found)
    exposed.sort(key=lambda each: (len(each.columns), each.columns))
    return Coverage(exposures, tuple(exposed), tuple(unexposed))


def suite_coverage(
    suite: Suite, indices: Iterable[int], *, strength: int, exposures: int
) -> tuple[tuple[str, ...], Coverage]:
    """Names of the columns (task, axes, derived factors) and the coverage by the cells `indices` of the grid."""
    grid = Grid(suite)
    axis_of = {name: grid.names.index(source) for name, source in suite.derived_names.items()}
    roots = [*range(len(grid.names)), *axis_of.values()]
    levels_of_root = [np.arange(radix, dtype=np.int32) for radix in grid.radices]
    levels_of_root += [_derived_codes(suite, grid, name) for name in axis_of]
    names = (*grid.names, *axis_of)
    radices = [len(suite.levels_of(name)) for name in names]
    cells = np.fromiter(indices, dtype=np.int64)
    digits_CF = np.empty((len(cells), len(names)), dtype=np.int32, order="F")
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

    return names, coverage(digits_CF, radices, strength=strength, exposures=exposures, possible=possible)


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


def _counts(digits_CF: np.ndarray, radices: Sequence[int], columns: Sequence[int]) -> np.ndarray:
    """int64: how many conditions have each combination of levels, the last column varying fastest."""
    code_C = np.zeros(len(digits_CF), dtype=np.int64)
    for column in columns:
        code_C *= radices[column]
        code_C += digits_CF[:, column]
    return np.bincount(code_C, minlength=prod(radices[column] for column in columns))


def _named(codes: np.ndarray, radices: Sequence[int], columns: tuple[int, ...]) -> list[Unexposed]:
    shape = [radices[column] for column in columns]
    levels = np.stack(np.unravel_index(codes, shape), axis=1).tolist()
    return [Unexposed(columns, tuple(each), 1 / prod(shape)) for each in levels]


def _derived_codes(suite: Suite, grid: Grid, name: str) -> np.ndarray:
    """int32, one for each level of its source: the position of the level of the derived factor `name`."""
    declared = suite.declared.derived[name]
    position = {level: place for place, level in enumerate(suite.levels_of(name))}
    source = grid.axes[grid.names.index(declared.source)]
    return np.array([position[derive(level, part=declared.part)] for level in source], dtype=np.int32)
