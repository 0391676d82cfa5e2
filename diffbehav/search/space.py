"""The contexts a search may ask for: drawn at random, inside a rule, or with one of its factors broken."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import pairwise

import numpy as np

from diffbehav.errors import InputError
from diffbehav.stats.rule import Rule, matches
from diffbehav.suite import Grid, Suite
from diffbehav.suite.levels import derive

MOST_DRAWN = 100_000
"""Cells drawn in a row of which none may be asked before a rule counts as impossible."""
MOST_ALONE = 1_000
"""Cells inside a rule in a row of which none has a partner before there counts as nothing to compare it with."""


class NoContextError(InputError):
    """The suite, or what is explained already, leaves no cell of the wanted kind."""


@dataclass(frozen=True)
class Space:
    """Cells of the grid as digits [n, A] over its axes (the task first), and as codes [n, F] over all factors."""

    grid: Grid
    names: tuple[str, ...]
    """The factors that rules are about: declared axes, then derived ones."""
    levels: tuple[Sequence[str], ...]
    axis_F: tuple[int, ...]
    """The grid axis that each factor is a function of."""
    code_F: tuple[np.ndarray, ...]
    """For each factor the code of every level of its axis."""
    explained: tuple[Rule, ...] = ()
    """Rules that are known already: no context inside one of them is drawn."""

    @cached_property
    def cardinalities_F(self) -> tuple[int, ...]:
        """Levels per factor."""
        return tuple(len(levels) for levels in self.levels)

    def is_declared(self, factor: int) -> bool:
        """Whether the factor is an axis of the grid and not derived from one."""
        return self.names[factor] == self.grid.names[self.axis_F[factor]]

    def is_ordered(self, factor: int) -> bool:
        """Whether the levels are rising ISO dates, so that an interval of them means something."""
        levels = self.levels[factor]
        return len(levels) > 2 and is_date(levels[0]) and all(a < b and is_date(b) for a, b in pairwise(levels))

    def codes(self, digits_NA: np.ndarray) -> np.ndarray:
        """int64 [N, F]: the level of every factor."""
        return np.stack([code[digits_NA[:, axis]] for axis, code in zip(self.axis_F, self.code_F, strict=True)], axis=1)

    def indices(self, digits_NA: np.ndarray) -> np.ndarray:
        """int64 [N]: grid indices."""
        return digits_NA @ np.array(self.grid.strides, dtype=np.int64)

    def allowed(self, rule: Rule) -> dict[int, np.ndarray]:
        """Axis -> bool over its levels: what the rule leaves of each axis it is about."""
        masks: dict[int, np.ndarray] = {}
        for factor, levels in zip(rule.factors, rule.levels, strict=True):
            axis, mask = self.axis_F[factor], np.isin(self.code_F[factor], levels)
            masks[axis] = masks[axis] & mask if axis in masks else mask
        return masks

    def beside(self, rules: Iterable[Rule]) -> "Space":
        """The same space without the contexts inside these rules, which are explained."""
        return replace(self, explained=tuple(rules))

    def draw(self, count: int, rule: Rule, rng: np.random.Generator) -> np.ndarray:
        """Digits [count, A] of random cells inside `rule`, each that may be asked equally likely."""
        choices_A = [np.flatnonzero(left) for left in self.left(rule)]
        if not all(map(len, choices_A)):
            raise NoContextError(f"no cell is left inside {rule}")

        def drawn(size: int) -> np.ndarray:
            cells = np.stack([choices[rng.integers(len(choices), size=size)] for choices in choices_A], axis=1)
            return np.asarray(cells[~self._forbidden(cells)])

        return _taken(count, drawn, most=MOST_DRAWN, what=f"almost no cell is left inside {rule}")

    def left(self, rule: Rule) -> list[np.ndarray]:
        """For each axis bool over its levels: False where no cell of that level inside `rule` may be asked.

        What an exclusion or a known rule forbids is taken from an axis wherever `rule` lies within it on all others;
        what several of them forbid only together is left.
        """
        masks = [np.ones(radix, bool) for radix in self.grid.radices]
        for axis, inside in self.allowed(rule).items():
            masks[axis] = inside
        known = [*self.grid.exclusions, *map(self.allowed, self.explained)]
        shrunk = True
        while shrunk:
            shrunk = False
            for forbidden in known:
                beyond = [axis for axis, mask in forbidden.items() if (masks[axis] & ~mask).any()]
                axis = (beyond or list(forbidden))[0]
                if len(beyond) <= 1 and (masks[axis] & forbidden[axis]).any():
                    masks[axis] = masks[axis] & ~forbidden[axis]
                    shrunk = True
        return masks

    def has_context(self, rule: Rule) -> bool:
        """Whether a cell inside `rule` is left, as far as `left` tells."""
        return all(map(np.any, self.left(rule)))

    def pairs(self, count: int, rule: Rule, rng: np.random.Generator) -> np.ndarray:
        """Digits [2, count, A] of matched pairs: random cells inside `rule`, and a partner of each outside.

        A partner has one randomly chosen factor of the rule outside it and all else alike; other factors of the rule on
        the same axis stay inside where any level allows it. The first of a pair is any cell inside that has a partner
        that may be asked, each equally likely: what exclusions or known rules leave without one, such as a tool that is
        offered in production alone, is part of no pair, and rates over pairs say nothing about it.
        """

        def drawn(size: int) -> np.ndarray:
            cells = self.draw(size, rule, rng)
            partners, found = self._partners(cells, rule, rng)
            return np.asarray(np.stack([cells, partners], axis=1)[found])

        alone = f"almost no cell is left beside {rule}: nothing to compare it with"
        return _taken(count, drawn, most=MOST_ALONE, what=alone).swapaxes(0, 1)

    def _partners(
        self, digits_NA: np.ndarray, rule: Rule, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """A partner of each cell, and whether it may be asked: False where none may."""
        outside = [self._outside(rule, place) for place in range(len(rule.factors))]
        partners = digits_NA.copy()
        chosen = rng.integers(len(outside), size=len(partners))
        for place, (axis, choices) in enumerate(outside):
            rows = np.flatnonzero(chosen == place)
            partners[rows, axis] = choices[rng.integers(len(choices), size=len(rows))]
        found = ~self._forbidden(partners)
        again = np.flatnonzero(~found)
        if len(again):
            partners[again], found[again] = self._chosen(digits_NA[again], outside, rng)
        return partners, found

    def _chosen(
        self, digits_NA: np.ndarray, outside: Sequence[tuple[int, np.ndarray]], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """As `_partners`, from a list of all there are, so that none is missed; each has the chance of a first draw."""
        axis_O = np.concatenate([np.full(len(choices), axis) for axis, choices in outside])
        level_O = np.concatenate([choices for _, choices in outside])
        weight_O = np.concatenate([np.full(len(choices), 1.0 / len(choices)) for _, choices in outside])
        every_NOA = np.repeat(digits_NA[:, None], len(level_O), axis=1)
        every_NOA[:, np.arange(len(level_O)), axis_O] = level_O
        asked_NO = ~self._forbidden(every_NOA.reshape(-1, digits_NA.shape[1])).reshape(every_NOA.shape[:2])
        sum_NO = np.cumsum(asked_NO * weight_O, axis=1)
        place_N = (sum_NO > rng.random(len(digits_NA))[:, None] * sum_NO[:, -1:]).argmax(axis=1)
        return every_NOA[np.arange(len(digits_NA)), place_N], np.asarray(asked_NO.any(axis=1))

    def _outside(self, rule: Rule, place: int) -> tuple[int, np.ndarray]:
        factor = rule.factors[place]
        axis = self.axis_F[factor]
        out = ~np.isin(self.code_F[factor], rule.levels[place])
        others = [p for p, other in enumerate(rule.factors) if p != place and self.axis_F[other] == axis]
        strict = out.copy()
        for other in others:
            strict &= np.isin(self.code_F[rule.factors[other]], rule.levels[other])
        return axis, np.flatnonzero(strict if strict.any() else out)

    def _forbidden(self, digits_NA: np.ndarray) -> np.ndarray:
        """bool [N]: cells that an exclusion forbids or a known rule explains."""
        bad_N = self.grid.excluded(self.indices(digits_NA))
        codes_NF = self.codes(digits_NA)
        for rule in self.explained:
            bad_N |= matches(rule, codes_NF)
        return bad_N


def _taken(count: int, drawn: Callable[[int], np.ndarray], *, most: int, what: str) -> np.ndarray:
    """The first `count` that `drawn` keeps of a number of draws; NoContextError after `most` in a row without one."""
    size, missed, kept = count, 0, [drawn(count)]
    while sum(map(len, kept)) < count:
        missed = 0 if len(kept[-1]) else missed + size
        if missed >= most:
            raise NoContextError(what)
        size = min(2 * size, max(count, most // 8))
        kept.append(drawn(size))
    return np.asarray(np.concatenate(kept)[:count])


def is_date(level: str) -> bool:
    """Whether a level is an ISO date."""
    try:
        return date.fromisoformat(level).isoformat() == level
    except ValueError:
        return False


def space_of(suite: Suite) -> Space:
    """The space of a suite's grid."""
    grid = Grid(suite)
    names = (*suite.factor_names, *suite.derived_names)
    return Space(
        grid=grid,
        names=names,
        levels=tuple(suite.levels_of(name) for name in names),
        axis_F=tuple(grid.names.index(suite.derived_names.get(name, name)) for name in names),
        code_F=tuple(_codes(suite, name) for name in names),
    )


def _codes(suite: Suite, name: str) -> np.ndarray:
    levels = suite.levels_of(name)
    if name not in suite.derived_names:
        return np.arange(len(levels))
    code = {level: place for place, level in enumerate(levels)}
    derived = suite.declared.derived[name]
    return np.array([code[derive(level, part=derived.part)] for level in suite.levels_of(derived.source)])
