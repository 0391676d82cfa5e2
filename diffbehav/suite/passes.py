"""The passes of a covering design: in each, every combination of levels of any 2 or 3 axes is asked."""

from functools import cached_property

import numpy as np

from diffbehav.suite.covering import completed, covering_array, filled, relabel
from diffbehav.suite.forbidden import OPEN
from diffbehav.suite.grid import Grid
from diffbehav.suite.model import CoveringDesign
from diffbehav.suite.pooled import halves
from diffbehav.suite.suite import Suite


class Passes:
    """The passes over the grid of `suite`, as many as are wanted; `design.passes` says how many a run asks.

    InputError where the exclusions together leave nothing to ask.
    """

    def __init__(self, suite: Suite, design: CoveringDesign) -> None:
        self._design = design
        self._grid = grid = Grid(suite)
        self._forbidden = grid.forbidden()
        column = {name: position for position, name in enumerate(suite.factor_names)}
        self._pools = [([column[axis] for axis in pool.axes.values()], pool.exclusive) for pool in suite.pools.values()]
        pooled = {each for columns, _ in self._pools for each in columns}
        self._alone = [each for each in column.values() if each not in pooled]
        self._between = self._forbidden.within(self._alone)

    def take(self, number: int) -> np.ndarray:
        """int64: the cells of pass `number`, counted from 0, in random order.

        The levels are named anew and the tasks dealt out anew in every pass, so that a combination meets other
        company. Pooled levels are set at random; a pass gets further rows for what this leaves uncovered, and for
        the share of rows with one level alone.
        """
        rng = np.random.default_rng([self._design.seed, 1 + number])
        core = self._core(rng)
        rows = np.full((len(core), len(self._forbidden.radices)), OPEN, dtype=np.int32)
        rows[:, self._alone] = core
        for columns, exclusive in self._pools:
            present = halves(len(rows), levels=len(columns), exclusive=exclusive, rng=rng)
            rows = self._with_pool(rows, columns, present, rng)
        if self._pools:
            rows = completed(rows, strength=self._design.strength, forbidden=self._forbidden, rng=rng)
        for columns, exclusive in self._pools:
            rows = self._with_singles(rows, columns, exclusive, rng)
        tasks = _dealt(self._forbidden.tasks_for(rows), rng)
        cells: np.ndarray = np.column_stack([tasks, rows]).astype(np.int64) @ np.array(self._grid.strides)
        return rng.permutation(cells)

    @cached_property
    def _first(self) -> np.ndarray:
        rng = np.random.default_rng([self._design.seed, 0])
        return covering_array(
            self._between.radices, strength=self._design.strength, forbidden=self._between, rng=rng
        )

    def _core(self, rng: np.random.Generator) -> np.ndarray:
        """A covering array over the axes that are no pool's, with fresh names for the levels."""
        if not self._between:
            return relabel(self._first, rng=rng)
        names = [rng.permutation(radix) for radix in self._between.radices]
        renamed = covering_array(
            self._between.radices, strength=self._design.strength, forbidden=self._between.renamed(names), rng=rng
        )
        return np.stack([name[column] for name, column in zip(names, renamed.T, strict=True)], axis=1)

    def _with_pool(
        self, rows: np.ndarray, columns: list[int], present: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        wanted = rows.copy()
        wanted[:, columns] = present
        return filled(rows, wanted, columns=columns, forbidden=self._forbidden, rng=rng)

    def _with_singles(
        self, rows: np.ndarray, columns: list[int], exclusive: float, rng: np.random.Generator
    ) -> np.ndarray:
        """As many further rows as it takes until the share `exclusive` has one level of the pool; others are copied."""
        single = int((rows[:, columns].sum(axis=1) == 1).sum())
        lacking = int(np.ceil((exclusive * len(rows) - single) / (1 - exclusive)))
        if lacking <= 0:
            return rows
        copies = rows[rng.integers(len(rows), size=lacking)]
        copies[:, columns] = OPEN
        present = halves(lacking, levels=len(columns), exclusive=1.0, rng=rng)
        return np.concatenate([rows, self._with_pool(copies, columns, present, rng)])


def _dealt(free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A task for each row, among those that are free for it [row, task], each as often as the others if possible.

    The rows with fewest free tasks choose first, among the tasks that are furthest from their share.
    """
    rows, tasks = free.shape
    share = np.full(tasks, rows // tasks)
    share[rng.permutation(tasks)[: rows % tasks]] += 1
    dealt = np.empty(rows, dtype=np.int32)
    choices = free.sum(axis=1)
    bound = np.flatnonzero(choices < tasks)
    for row in bound[np.argsort(choices[bound] + rng.random(len(bound)))].tolist():
        task = int(np.where(free[row], share + rng.random(tasks), -np.inf).argmax())
        dealt[row] = task
        share[task] -= 1
    left = np.repeat(np.arange(tasks, dtype=np.int32), np.maximum(share, 0))
    dealt[choices == tasks] = rng.permutation(left)[: int((choices == tasks).sum())]
    return dealt
