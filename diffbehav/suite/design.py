"""Which cells are asked: all of them, a seeded draw or a covering array, always without writing the grid out."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from diffbehav.errors import InputError
from diffbehav.suite.grid import Grid
from diffbehav.suite.model import CoveringDesign, RandomDesign
from diffbehav.suite.passes import Passes
from diffbehav.suite.pooled import singled
from diffbehav.suite.shuffle import Shuffle
from diffbehav.suite.suite import Suite

_BATCH = 8192
_TRIES = 16
_PATIENCE = 50_000_000


class Asked(NamedTuple):
    """What earlier runs asked, so that a draw goes on behind it."""

    draws: int
    """How many runs there were."""
    cells: np.ndarray
    """int64: their grid indices."""


NOTHING_ASKED = Asked(0, np.empty(0, dtype=np.int64))


def draw(suite: Suite, *, limit: int | None = None, asked: Asked = NOTHING_ASKED) -> Iterator[int]:
    """Distinct grid indices that no exclusion forbids, in a seeded random order; of a covering design pass by pass.

    `limit` keeps the first so many, so a smaller draw is part of a larger one and is itself a random subset. What was
    `asked` before is not drawn again: a covering design goes on with its next passes, the others with further cells.
    """
    if limit is not None and limit < 0:
        raise InputError(f"limit {limit!r} is negative; give 0 or more, or none")
    design, grid = suite.design, Grid(suite)
    seen = set[int](asked.cells.tolist())
    if isinstance(design, RandomDesign):
        wanted = design.n if limit is None else min(design.n, limit)
        return _with_neighbours(suite, grid, design, wanted, seen)
    if isinstance(design, CoveringDesign):
        return islice(_covering(suite, design, asked.draws * design.passes, seen), limit)
    return islice(_full(suite, grid, seen), limit)


def _full(suite: Suite, grid: Grid, seen: set[int]) -> Iterator[int]:
    found = False
    for batch in _allowed(suite, grid, seed=suite.sampling.seed):
        for index in batch.tolist():
            if index not in seen:
                found = True
                yield index
    if not found:
        raise _too_few(suite, wanted=1, asked=len(seen), found=0)


def _covering(suite: Suite, design: CoveringDesign, first: int, seen: set[int]) -> Iterator[int]:
    passes = Passes(suite, design)
    found = False
    for number in range(first, first + design.passes):
        for index in passes.take(number).tolist():
            if index not in seen:
                seen.add(index)
                found = True
                yield index
    if not found:
        raise InputError(
            f"error[suite.too_few_cells]: {suite.name}  design: passes {first + 1} to {first + design.passes} hold no "
            f"cell beside the {len(seen):,} that earlier runs asked\n"
            "  fix: add levels or tasks, or use a full design; the ledger has what these passes can add"
        )


def _with_neighbours(
    suite: Suite, grid: Grid, design: RandomDesign, wanted: int, seen: set[int]
) -> Iterator[int]:
    rng = np.random.default_rng([design.seed, 1])
    before, drawn = len(seen), 0
    for batch in _bases(suite, grid, seed=design.seed):
        for base, proposals in zip(
            batch.tolist(), _proposals(grid, batch, design.neighbours, rng), strict=True
        ):
            group = [] if base in seen else [base]
            seen.update(group)
            for slot in proposals if group else ():
                near = next((cell for cell in slot if cell >= 0 and cell not in seen), None)
                near = _any_neighbour(grid, base, seen) if near is None else near
                if near is not None:
                    seen.add(near)
                    group.append(near)
            yield from group[: wanted - drawn]
            drawn += len(group)
            if drawn >= wanted:
                return
    raise _too_few(suite, wanted=design.n, asked=before, found=drawn)


def _bases(suite: Suite, grid: Grid, *, seed: int) -> Iterator[np.ndarray]:
    """Batches of allowed cells; a share has one level of a pool alone, until no further ones are left."""
    if not suite.pools:
        return _allowed(suite, grid, seed=seed)
    return chain(_with_singles(suite, grid, seed=seed), _allowed(suite, grid, seed=seed))


def _with_singles(suite: Suite, grid: Grid, *, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng([seed, 2])
    for cells in _allowed(suite, grid, seed=seed):
        made = cells
        for pool in suite.pools.values():
            strides = [grid.strides[grid.names.index(axis)] for axis in pool.axes.values()]
            made = singled(made, strides=strides, exclusive=pool.exclusive, rng=rng)
        yield np.where(grid.excluded(made), cells, made)


def _allowed(suite: Suite, grid: Grid, *, seed: int) -> Iterator[np.ndarray]:
    """Batches of allowed cells, shuffled, until the grid is used up."""
    shuffle = Shuffle(grid.size, seed=seed)
    barren = 0
    for start in range(0, grid.size, _BATCH):
        cells = shuffle.take(np.arange(start, min(start + _BATCH, grid.size)))
        allowed = cells[~grid.excluded(cells)]
        barren = 0 if allowed.size else barren + len(cells)
        if barren > _PATIENCE:
            raise InputError(
                f"error[suite.excluded]: {suite.name}  exclude: {barren:,} cells in a row are excluded\n"
                "  fix: remove levels instead of excluding nearly all of the grid"
            )
        yield allowed


def _proposals(
    grid: Grid, cells: np.ndarray, neighbours: int, rng: np.random.Generator
) -> list[list[list[int]]]:
    """For each cell and neighbour, cells that differ in one declared factor; -1 where that one is excluded.

    The neighbours of a cell differ in different factors as far as there are factors enough.
    """
    axes = np.array([axis for axis in range(1, len(grid.radices)) if grid.radices[axis] > 1], dtype=np.int64)
    if not (axes.size and neighbours and cells.size):
        return [[[] for _ in range(neighbours)]] * len(cells)
    radices, strides = np.array(grid.radices), np.array(grid.strides, dtype=np.int64)
    rounds = -(-neighbours * _TRIES // axes.size)
    order = rng.permuted(np.broadcast_to(axes, (len(cells), rounds, axes.size)), axis=2).reshape(
        len(cells), -1
    )
    chosen = order[:, : neighbours * _TRIES].reshape(len(cells), _TRIES, neighbours).swapaxes(1, 2)
    digits = np.take_along_axis(grid.digits(cells)[:, None, :], chosen, axis=2)
    moved = (digits + rng.integers(1, radices[chosen])) % radices[chosen]
    near = cells[:, None, None] + (moved - digits) * strides[chosen]
    near[grid.excluded(near)] = -1
    proposals: list[list[list[int]]] = near.tolist()
    return proposals


def _any_neighbour(grid: Grid, base: int, seen: set[int]) -> int | None:
    """An allowed cell, not yet drawn, that differs from `base` in one declared factor; tries them all."""
    for axis in range(1, len(grid.radices)):
        stride, radix = grid.strides[axis], grid.radices[axis]
        lowest = base - base // stride % radix * stride
        line = np.arange(radix, dtype=np.int64) * stride + lowest
        for cell in line[~grid.excluded(line)].tolist():
            if cell not in seen:
                return int(cell)
    return None


def _too_few(suite: Suite, *, wanted: int, asked: int, found: int) -> InputError:
    if asked:
        return InputError(
            f"error[suite.too_few_cells]: {suite.name}  design: wants {wanted:,} distinct cells that no earlier run "
            f"asked, the grid has {found:,} beside the {asked:,} that were\n"
            "  fix: lower `n` or give --limit, or begin another ledger after changing the suite"
        )
    return InputError(
        f"error[suite.too_few_cells]: {suite.name}  design: wants {wanted:,} distinct cells, "
        f"the grid has {found:,} after exclusions\n  fix: lower `n`, or add levels, or exclude less"
    )
