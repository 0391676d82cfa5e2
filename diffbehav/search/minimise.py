"""From one context that fires to the rule it fires by: needless factors dropped, single levels widened to sets."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from math import log

import numpy as np
from scipy.special import gammaln

from diffbehav.search.oracle import Oracle, ShareSpent
from diffbehav.search.space import NoContextError, Space
from diffbehav.stats.intervals import log_tail
from diffbehav.stats.rule import Rule, matches, with_levels, without
from diffbehav.stats.sprt import Decision, Sprt

GATHERS = 1e-3
"""Chance, over all sets of levels of all factors, that contexts gather at levels that do not matter."""
MOST_FACTORS = 3
"""Factors of a rule that is still narrowed."""
BISECTIONS = 3
"""Times that the end of an interval is looked for before it is left as it was."""
MOST_SHARPENED = 500
"""Calls after which the ends of an interval are left as they were."""
MOST_PROBED = 64
"""Levels of one factor that are asked one by one; a longer ordered factor is bisected, another one is left alone."""


def keeps_firing(rate: float) -> Sprt:
    """Does it still fire? For contexts that fired at `rate` before a factor was changed.

    A third as often, as where a third of all dates fire and a random other one is taken, is not still firing.
    """
    return Sprt(p0=0.3 * rate, p1=0.7 * rate, alpha=0.02, beta=0.02, cap=160)


def fires_at_all(rate: float) -> Sprt:
    """Does it fire at a few of its levels at least? For contexts at all the levels of a factor but one."""
    return Sprt(p0=0.02, p1=min(0.15, 0.7 * rate), alpha=0.02, beta=0.05, cap=80)


def is_inside(rate: float) -> Sprt:
    """Does it fire at this day of an interval that fires at `rate`? Outside of it nothing does."""
    return Sprt(p0=0.1 * rate, p1=0.7 * rate, alpha=0.02, beta=0.02, cap=80)


def fires_alike(rate: float) -> Sprt:
    """Does it fire as often as at `rate`? Half as often, as where half of the levels fire, is not alike."""
    return Sprt(p0=0.5 * rate, p1=0.85 * rate, alpha=0.03, beta=0.03, cap=160)


async def drop_factors(
    rule: Rule, oracle: Oracle, *, rate: float, threshold: float, rng: np.random.Generator
) -> Rule:
    """The rule without every factor that does not matter, asked by halves: a group of them goes at once.

    A group counts as needless when contexts with every factor of the group *outside* its levels still fire.
    """

    async def needless(group: Sequence[int], kept: Rule) -> bool:
        elsewhere = _elsewhere(kept, group, oracle.space)
        try:
            return await oracle.fires(elsewhere, keeps_firing(rate), threshold=threshold, rng=rng) == "hit"
        except NoContextError:
            # The rest of the rule leaves a single factor no other level: naming it would say nothing.
            return len(group) == 1

    async def needed(group: Sequence[int], kept: Rule) -> Rule:
        rest = without(kept, group)
        if rest.factors and await needless(group, kept):
            return rest
        if len(group) == 1:
            return kept
        half = len(group) // 2
        return await needed(group[half:], await needed(group[:half], kept))

    return await needed(list(rule.factors), rule)


def narrow(rule: Rule, oracle: Oracle, *, threshold: float, screened: tuple[np.ndarray, np.ndarray]) -> Rule:
    """The rule with one level more of each factor at some levels of which the contexts that fire inside it gather.

    Judged by what was asked so far and by the screen (`screened`: codes [C, F] and scores [C], NaN where a known rule
    explains the condition): if some levels did not matter, each of the contexts that fired would have one of them with
    their share among all contexts inside, a binomial whose tail is held below `GATHERS` over all sets of levels there
    are. Of such a set the level with the most is named; `widen` asks which others belong to it.
    """
    while len(rule.factors) < MOST_FACTORS:
        asked_NF, score_N = oracle.evidence(rule)
        inside_C = matches(rule, screened[0]) & ~np.isnan(screened[1])
        codes_NF = np.concatenate([asked_NF, screened[0][inside_C]])
        fired_N = np.concatenate([score_N, screened[1][inside_C]]) > threshold
        best = _gathering(codes_NF, fired_N, rule, oracle.space)
        if best is None:
            return rule
        rule = with_levels(rule, best[0], (best[1],))
    return rule


def _gathering(codes_NF: np.ndarray, fired_N: np.ndarray, rule: Rule, space: Space) -> tuple[int, int] | None:
    """The factor, if any, at some levels of which the fired contexts gather most, and the level with the most."""
    taken = {space.axis_F[factor] for factor in rule.factors}
    free = [factor for factor in range(len(space.names)) if space.axis_F[factor] not in taken]
    fired = int(fired_N.sum())
    found = []
    for factor in free:
        size = space.cardinalities_F[factor]
        n_L = np.bincount(codes_NF[:, factor], minlength=size)
        fired_L = np.bincount(codes_NF[fired_N, factor], minlength=size)
        share_L = n_L / max(len(codes_NF), 1)
        order = np.argsort(-fired_L / np.maximum(n_L, 1), kind="stable")
        of_sets = _log_tails(np.cumsum(fired_L[order]), fired, np.cumsum(share_L[order])) + _log_sets(size)
        found.append((float(of_sets.min()), factor, int(_log_tails(fired_L, fired, share_L).argmin())))
    chance, factor, level = min(found, default=(0.0, 0, 0))
    return (factor, level) if free and chance < log(GATHERS / len(free)) else None


def _log_tails(hits: np.ndarray, trials: int, rate: np.ndarray) -> np.ndarray:
    return log_tail(hits, trials, rate=np.clip(rate, 1e-12, 1 - 1e-12))


def _log_sets(size: int) -> np.ndarray:
    """float64 [size]: log of the number of sets of 1, 2, ... of so many levels, times the numbers there are.

    The levels with the highest rates are the best of all sets of their number, so that many were tried.
    """
    count = np.arange(1, size + 1)
    return np.asarray(gammaln(size + 1) - gammaln(count + 1) - gammaln(size - count + 1) + log(size))


async def widen(rule: Rule, oracle: Oracle, *, rate: float, threshold: float, rng: np.random.Generator) -> Rule:
    """The rule with each single level widened to what also fires: a derived level, an interval or a set of levels.

    A factor of which every level fires is left out; a rule without factors fires everywhere and is about no condition.
    A level that exclusions or known rules leave no context for cannot be asked, and is no reason to keep a factor.
    Where what is left is an interval of dates, such as a set of years, both of its ends are asked and moved to the day.
    """
    bisected = set()
    for factor, levels in zip(rule.factors, rule.levels, strict=True):
        if len(levels) == 1 and oracle.space.cardinalities_F[factor] > 2:
            rule = await _Widening(factor, levels[0], oracle, rate, threshold, rng).widened(rule)
            bisected.add(factor)
    for factor in rule.factors:
        interval = _interval(rule, factor, oracle.space)
        if interval is not None and not (factor in bisected and oracle.space.is_declared(factor)):
            source, run = interval
            asked = np.flatnonzero(oracle.space.left(rule)[oracle.space.axis_F[source]])
            with suppress(ShareSpent), oracle.share(MOST_SHARPENED):
                middle = int(asked[len(asked) // 2])
                rule = await _Widening(source, middle, oracle, rate, threshold, rng).sharpened(rule, run)
    return rule


@dataclass(frozen=True)
class _Widening:
    """One single level of a rule that is to be widened."""

    factor: int
    level: int
    oracle: Oracle
    rate: float
    """How often the rule fires with this level."""
    threshold: float
    rng: np.random.Generator

    async def widened(self, rule: Rule) -> Rule:
        others = [int(code) for code in self._levels(rule) if code != self.level]
        if self.oracle.space.is_ordered(self.factor):
            run = await self._run(rule)
            if run and len(run) > 1 and await self._alike(with_levels(rule, self.factor, set(run) - {self.level})):
                return self._named(rule, run)
        for wider in _derived_rules(rule, self.factor, self.level, self.oracle.space):
            if await self._alike(with_levels(wider, self.factor, others)):
                return wider
        return rule if len(others) > MOST_PROBED else await self._set(rule, others)

    async def sharpened(self, rule: Rule, run: range) -> Rule:
        """The rule with the ends of its interval moved to where it begins and ends to fire, if they are not there."""
        taken = [f for f in rule.factors if self.oracle.space.axis_F[f] == self.oracle.space.axis_F[self.factor]]
        middle = with_levels(without(rule, taken), self.factor, (self.level,))
        if not await self._inside(middle, self.level):
            return rule
        low = await self._moved(middle, run[0], -1)
        high = await self._moved(middle, run[-1], 1)
        if low is None or high is None or range(low, high + 1) == run:
            return rule
        return self._named(middle, range(low, high + 1))

    async def _moved(self, rule: Rule, end: int, way: int) -> int | None:
        """The end of an interval whose middle fires, asked beside `end` first, and last where that side never ends."""
        if not await self._inside(rule, end):
            return await self._edge(rule, self.level, end)
        levels = self._levels(rule)
        beyond = levels[levels > end] if way > 0 else levels[levels < end][::-1]
        if not len(beyond) or not await self._inside(rule, int(beyond[0])):
            return end
        return await self._end(rule, int(beyond[0]), int(beyond[-1]))

    async def _run(self, rule: Rule) -> range | None:
        """The levels around this one that fire, each end bisected, as if every side changed once."""
        levels = self._levels(rule)
        first = await self._end(rule, self.level, int(levels[0]))
        last = await self._end(rule, self.level, int(levels[-1]))
        return None if first is None or last is None else range(first, last + 1)

    async def _end(self, rule: Rule, near: int, far: int) -> int | None:
        if near == far or await self._inside(rule, far):
            return far
        return await self._edge(rule, near, far)

    async def _edge(self, rule: Rule, near: int, far: int) -> int | None:
        """The last level that fires on the way from `near`, which does, to `far`, which does not; None if not settled.

        One wrong answer leads the bisection to a place of which one side is wrong, so both are asked once more.
        """
        levels = self._levels(rule)
        for _ in range(BISECTIONS):
            inside, outside = near, far
            while len(between := levels[(levels > min(inside, outside)) & (levels < max(inside, outside))]):
                middle = int(between[(len(between) - 1) // 2])
                if await self._inside(rule, middle):
                    inside = middle
                else:
                    outside = middle
            if await self._inside(rule, inside) and not await self._inside(rule, outside):
                return inside
        return None

    def _named(self, rule: Rule, run: range) -> Rule:
        """The run by the name of derived levels where these stand for exactly the same levels.

        Without the factor where the run takes in every level that can be asked.
        """
        if np.isin(self._levels(rule), run).all():
            return without(rule, [self.factor])
        axis = self.oracle.space.axis_F[self.factor]
        for wider in _derived_rules(rule, self.factor, self.level, self.oracle.space):
            if np.flatnonzero(self.oracle.space.allowed(wider)[axis]).tolist() == list(run):
                return wider
        return with_levels(rule, self.factor, run)

    async def _set(self, rule: Rule, others: Sequence[int]) -> Rule:
        """Every other level is asked by itself, but only where they fire at all together."""
        if await self._fires(with_levels(rule, self.factor, others), fires_at_all(self.rate)) == "miss":
            return rule
        others = [code for code in others if self.oracle.space.has_context(with_levels(rule, self.factor, (code,)))]
        singles = [with_levels(rule, self.factor, (code,)) for code in others]
        decisions = await self.oracle.fire_each(
            singles, fires_alike(self.rate), threshold=self.threshold, rng=self.rng
        )
        firing = [code for code, decision in zip(others, decisions, strict=True) if decision == "hit"]
        if len(firing) == len(others):
            return without(rule, [self.factor])
        return with_levels(rule, self.factor, [self.level, *firing])

    async def _inside(self, rule: Rule, level: int) -> bool:
        return await self._fires(with_levels(rule, self.factor, (level,)), is_inside(self.rate)) == "hit"

    async def _alike(self, rule: Rule) -> bool:
        return await self._fires(rule, fires_alike(self.rate)) == "hit"

    async def _fires(self, rule: Rule, test: Sprt) -> Decision:
        """Contexts that exclusions or known rules do not leave do not fire."""
        try:
            return await self.oracle.fires(rule, test, threshold=self.threshold, rng=self.rng)
        except NoContextError:
            return "miss"

    def _levels(self, rule: Rule) -> np.ndarray:
        """int64, rising: the levels of the factor that the rest of the rule leaves, as far as that can be seen."""
        space = self.oracle.space
        left = space.left(without(rule, [self.factor]))[space.axis_F[self.factor]]
        return np.unique(space.code_F[self.factor][left])


def _derived_rules(rule: Rule, factor: int, level: int, space: Space) -> Iterator[Rule]:
    """A declared `factor` replaced by what is derived from it, fewest derived factors and widest first."""
    axis = space.axis_F[factor]
    beside = [f for f in range(len(space.names)) if f != factor and space.axis_F[f] == axis]
    derived = beside if space.is_declared(factor) else []
    found = []
    for count in range(1, len(derived) + 1):
        for chosen in combinations(derived, count):
            wider = without(rule, [factor])
            for each in chosen:
                wider = with_levels(wider, each, (int(space.code_F[each][level]),))
            found.append((count, -int(space.allowed(wider)[axis].sum()), wider))
    return (wider for _, size, wider in sorted(found) if size < -1)


def _interval(rule: Rule, factor: int, space: Space) -> tuple[int, range] | None:
    """The declared ordered factor behind `factor`, and the run of two or more of its levels that the rule leaves."""
    axis = space.axis_F[factor]
    source = next(f for f, of in enumerate(space.axis_F) if of == axis and space.is_declared(f))
    left = np.flatnonzero(space.allowed(rule)[axis])
    alone = sum(space.axis_F[other] == axis for other in rule.factors) == 1
    if not alone or not space.is_ordered(source) or len(left) < 2 or left[-1] - left[0] >= len(left):
        return None
    return source, range(int(left[0]), int(left[-1]) + 1)


def _elsewhere(rule: Rule, group: Sequence[int], space: Space) -> Rule:
    """The rule with every factor of `group` outside its levels."""
    for factor in group:
        inside = rule.levels[rule.factors.index(factor)]
        rule = with_levels(rule, factor, tuple(c for c in range(space.cardinalities_F[factor]) if c not in inside))
    return rule
