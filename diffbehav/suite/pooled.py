"""Pooled factors: several levels in one context.

A pooled factor is no axis of the grid; each of its levels is one, `factor.level`, with the levels `absent` and
`present`. So a set of levels is an ordinary cell, adding or taking away one level is an ordinary step to a neighbour,
and exclusions, designs, results and rules need to know nothing of pools. Only what is sent does: templates see one
list, and `offers` adds up.

Every pooled level doubles the grid, which has at most 2^63 - 1 cells: the pools of a suite can hold about 40 levels
beside other factors of usual size.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from diffbehav.suite.levels import levels
from diffbehav.suite.model import DateRange, EngineFactor, LevelList, PooledList

PRESENCE = ("absent", "present")
"""Position 1 is presence."""


class Pool(NamedTuple):
    """The axes of one pooled factor."""

    axes: Mapping[str, str]
    """Level -> name of its axis."""
    exclusive: float
    """Share of drawn conditions with exactly one level present."""


def axes(factors: Mapping[str, LevelList | DateRange | EngineFactor]) -> dict[str, Sequence[str]]:
    """The axes of the grid that the declared factors make, in order, and the levels on them."""
    found: dict[str, Sequence[str]] = {}
    for name, factor in factors.items():
        if isinstance(factor, PooledList):
            found |= dict.fromkeys(pool(name, factor).axes.values(), PRESENCE)
        else:
            found[name] = levels(factor)
    return found


def pool(name: str, factor: PooledList) -> Pool:
    """The axes of the pooled factor `name`."""
    return Pool({level: f"{name}.{level}" for level in factor.levels}, factor.exclusive)


def present(pool: Pool, at: Mapping[str, str]) -> list[str]:
    """The levels that are present where the axes have the levels `at`."""
    return [level for level, axis in pool.axes.items() if at[axis] == "present"]


def halves(rows: int, *, levels: int, exclusive: float, rng: np.random.Generator) -> np.ndarray:
    """int32 [row, level]: 1 where the level is present.

    A share `exclusive` of the rows has one level each, all of them equally often. The others come in pairs that are
    each other's complement, so each level is present in half of them, whatever else is.
    """
    single = round(exclusive * rows)
    mixed = rng.integers(0, 2, size=((rows - single + 1) // 2, levels), dtype=np.int32)
    both = np.concatenate([mixed, 1 - mixed])[: rows - single]
    one = np.eye(levels, dtype=np.int32)[rng.permutation(np.arange(single) % levels)]
    made: np.ndarray = rng.permutation(np.concatenate([both, one]))
    return made


def singled(
    cells: np.ndarray, *, strides: Iterable[int], exclusive: float, rng: np.random.Generator
) -> np.ndarray:
    """`cells`, but a random share `exclusive` of them with exactly one level of the pool on the axes of `strides`."""
    strides_L = np.array(list(strides), dtype=np.int64)
    chosen = np.flatnonzero(rng.random(len(cells)) < exclusive)
    made = cells.copy()
    made[chosen] -= (made[chosen, None] // strides_L % 2) @ strides_L
    made[chosen] += rng.choice(strides_L, size=len(chosen))
    return made
