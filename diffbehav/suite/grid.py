"""The grid of all cells, by number: mixed radix over tasks and declared factors, never written out.

A pooled factor is one axis a level, see `diffbehav.suite.pooled`.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from diffbehav.errors import InputError
from diffbehav.suite.forbidden import TASK, Forbidden
from diffbehav.suite.levels import derive
from diffbehav.suite.problems import meant
from diffbehav.suite.suite import Suite


class Cell(NamedTuple):
    """What a grid index stands for."""

    task: str
    levels: dict[str, str]
    """Factor -> level, declared factors first, then derived ones."""


class Grid:
    """Every combination of a task and a level on each axis; the last axis varies fastest."""

    def __init__(self, suite: Suite) -> None:
        self.names: tuple[str, ...] = ("task", *suite.factor_names)
        """The axes, most significant first."""
        self.axes: tuple[Sequence[str], ...] = tuple(suite.levels_of(name) for name in self.names)
        self.radices: tuple[int, ...] = tuple(len(axis) for axis in self.axes)
        self.size: int = prod(self.radices)
        """Number of cells, excluded ones included."""
        self.strides: tuple[int, ...] = tuple(
            prod(self.radices[axis + 1 :]) for axis in range(len(self.radices))
        )
        self._derived = {name: (each.source, each.part) for name, each in suite.declared.derived.items()}
        self.exclusions = [self._rule(rule) for rule in suite.declared.exclude]
        """For each exclusion axis -> mask over its levels; it forbids the cells in which every mask holds."""

    def __len__(self) -> int:
        return self.size

    def cell(self, index: int) -> Cell:
        """Task and levels of the cell `index`."""
        if not 0 <= index < self.size:
            raise InputError(
                f"grid index {index!r} is outside [0, {self.size}); use an index of this suite's grid"
            )
        found = {
            name: axis[index // stride % radix]
            for name, axis, stride, radix in zip(
                self.names, self.axes, self.strides, self.radices, strict=True
            )
        }
        task = found.pop("task")
        derived = {name: derive(found[source], part=part) for name, (source, part) in self._derived.items()}
        return Cell(task, found | derived)

    def levels(self, index: int) -> dict[str, str]:
        """Factor -> level of the cell `index`, declared factors first, then derived ones."""
        return self.cell(index).levels

    def index(self, levels: Mapping[str, str], *, task: str) -> int:
        """The cell with these declared levels; derived ones may be given and must agree."""
        wanted = {"task": task, **levels}
        missing = [name for name in self.names if name not in wanted]
        if missing:
            raise InputError(
                f"no level given for {', '.join(missing)}; give one for each of {', '.join(self.names)}"
            )
        index = 0
        for name, axis, stride in zip(self.names, self.axes, self.strides, strict=True):
            if wanted[name] not in axis:
                raise InputError(f"{wanted[name]!r} is no level of {name}{meant(wanted[name], axis)}")
            index += axis.index(wanted[name]) * stride
        found = self.levels(index)
        wrong = [name for name in levels if found.get(name) != levels[name]]
        if wrong:
            raise InputError(f"{wrong[0]}={levels[wrong[0]]!r} does not fit the other levels: {found!r}")
        return index

    def digits(self, indices: np.ndarray) -> np.ndarray:
        """int64 [cell, axis]: the position on each axis."""
        strides = np.array(self.strides, dtype=np.int64)
        return (
            np.asarray(indices, dtype=np.int64)[..., None] // strides % np.array(self.radices, dtype=np.int64)
        )

    def excluded(self, indices: np.ndarray) -> np.ndarray:
        """bool, one for each index: whether an exclusion forbids the cell."""
        forbidden = np.zeros(np.shape(indices), dtype=bool)
        if self.exclusions:
            digits = self.digits(indices)
            for rule in self.exclusions:
                forbidden |= np.logical_and.reduce([mask[digits[..., axis]] for axis, mask in rule.items()])
        return forbidden

    def forbidden(self) -> Forbidden:
        """The exclusions and all that they imply; column 0 is the axis after the task."""
        rules = [{TASK if axis == 0 else axis - 1: mask for axis, mask in rule.items()} for rule in self.exclusions]
        return Forbidden(self.radices[1:], rules, tasks=self.radices[0])

    def _rule(self, rule: Mapping[str, Sequence[str]]) -> dict[int, np.ndarray]:
        """Axis -> mask over its levels; a cell is excluded where every mask holds."""
        masks: dict[int, np.ndarray] = {}
        for name, excluded in rule.items():
            source, part = self._derived.get(name, (name, None))
            axis = self.names.index(source)
            values = (
                self.axes[axis] if part is None else [derive(level, part=part) for level in self.axes[axis]]
            )
            wanted = frozenset(excluded)
            mask = np.fromiter((value in wanted for value in values), dtype=bool, count=len(values))
            masks[axis] = masks[axis] & mask if axis in masks else mask
        return masks
