"""Propose, retest, minimise, widen, confirm, take away what is explained, and begin again."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from diffbehav.records import digest
from diffbehav.search.calibration import Calibration, calibrate
from diffbehav.search.confirm import Confirmed, confirm
from diffbehav.search.minimise import drop_factors, widen
from diffbehav.search.oracle import Ask, BudgetSpent, Oracle
from diffbehav.search.space import NoContextError, Space
from diffbehav.stats.ebh import ebh
from diffbehav.stats.eprocess import Interval, effect_interval, tally
from diffbehav.stats.peel import peel
from diffbehav.stats.rule import Rule, matches
from diffbehav.stats.sprt import Sprt

RETEST = Sprt(p0=0.04, p1=0.35, alpha=0.01, beta=0.05, cap=60)
SCREEN_QUANTILE = 0.98
CONFIRM_QUANTILE = 0.995
RATE_TRIALS = 24
MOST_ROUNDS = 8
MOST_SCANNED = 10
MOST_NAMED = 3
"""Factors of a rule that a progress line spells out."""
INTERVAL_LEVEL = 0.95
Status = Literal["CONFIRMED", "NOT CONFIRMED", "INCONCLUSIVE"]
OnStep = Callable[[str, Oracle], None]


@dataclass(frozen=True)
class Screen:
    """What was collected before the search: C conditions."""

    digits_CA: np.ndarray
    channels_HC: np.ndarray


@dataclass(frozen=True, slots=True)
class Promise:
    """What a confirmation promises; each value changes its meaning, so none has a default."""

    delta: float
    """Tolerated excess of the firing rate over matched controls, e.g. 0.05."""
    level: float
    """False discovery rate over the rules of the run, e.g. 0.05."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule and what fresh pairs say about it."""

    tested: Confirmed
    status: Status
    effect: Interval
    """95 % confidence sequence of the excess, not adjusted for the choice of rules."""


@dataclass
class Outcome:
    """Everything a search found out."""

    verdicts: list[Verdict] = field(default_factory=list)
    calls_spent: int = 0
    spent: bool = False
    """Whether the budget, or the number of rounds, ended the search before it had nothing left to ask."""
    unmeasured: int = 0
    """Conditions that were asked and have no score; they count as conditions that did not fire."""


async def search(
    screen: Screen, space: Space, ask: Ask, *, calls: int, promise: Promise, seed: int, on_step: OnStep
) -> Outcome:
    """Rules confirmed or refuted on fresh matched pairs within `calls` answers of the candidate."""
    hunt = _Hunt(screen, space, promise, seed, on_step)
    oracle = Oracle(space, ask, hunt.calibration(), calls_left=calls)
    spent = True
    try:
        for _ in range(MOST_ROUNDS):
            if not await hunt.round(oracle):
                spent = False
                break
    except BudgetSpent:
        pass
    return Outcome(_verdicts(hunt.tested, promise), oracle.calls_spent, spent, oracle.unmeasured)


def _verdicts(tested: list[Confirmed], promise: Promise) -> list[Verdict]:
    rejected = ebh(np.exp([each.log_e for each in tested]), level=promise.level)
    return [_verdict(each, bool(sure), promise) for each, sure in zip(tested, rejected, strict=True)]


def _verdict(tested: Confirmed, rejected: bool, promise: Promise) -> Verdict:
    effect = effect_interval(tally(tested.difference_P), level=INTERVAL_LEVEL)
    if rejected:
        return Verdict(tested, "CONFIRMED", effect)
    refuted = tested.status == "futile" or float(effect.high) <= promise.delta
    return Verdict(tested, "NOT CONFIRMED" if refuted else "INCONCLUSIVE", effect)


@dataclass
class _Hunt:
    screen: Screen
    space: Space
    promise: Promise
    seed: int
    on_step: OnStep
    tested: list[Confirmed] = field(default_factory=list)
    tried: set[Rule] = field(default_factory=set)

    async def round(self, oracle: Oracle) -> bool:
        """Propose and follow up; False when nothing new was proposed."""
        oracle.calibration = self.calibration()
        fresh = False
        async for rule in self._proposals(oracle):
            if rule not in self.tried and not self._explained(rule):
                self.tried.add(rule)
                fresh = True
                await self.propose(rule, oracle)
        return fresh

    async def propose(self, rule: Rule, oracle: Oracle) -> None:
        """Follow a proposal up, in the contexts that no confirmed rule explains."""
        oracle.space = self.space.beside(self._found())
        with suppress(NoContextError):
            await self._follow(rule, oracle)

    def calibration(self, *beside: Rule) -> Calibration:
        """Fitted on the conditions that neither a confirmed rule nor one of `beside` explains."""
        codes = self.space.codes(self.screen.digits_CA)
        ordinary_C = np.ones(len(codes), bool)
        for rule in (*self._found(), *beside):
            ordinary_C &= ~matches(rule, codes)
        return calibrate(self.screen.channels_HC, task_C=self.screen.digits_CA[:, 0], ordinary_C=ordinary_C)

    def _found(self) -> Iterator[Rule]:
        return (each.rule for each in self.tested if each.status == "reached")

    def _explained(self, rule: Rule) -> bool:
        """Whether all random contexts inside `rule` are inside a confirmed one."""
        sample = self.space.codes(self.space.draw(64, rule, self._rng("explained", rule)))
        return any(matches(found, sample).all() for found in self._found())

    async def _proposals(self, oracle: Oracle) -> AsyncIterator[Rule]:
        """Rules of the scan first, then single conditions that fire again."""
        codes_CF = self.space.codes(self.screen.digits_CA)
        score_C = oracle.calibration.score(self.screen.channels_HC, task_N=self.screen.digits_CA[:, 0])
        for found in self._found():
            score_C[matches(found, codes_CF)] = np.nan
        scanned = peel(
            codes_CF, cardinalities_F=self.space.cardinalities_F, score_C=score_C,
            task_C=self.screen.digits_CA[:, 0], max_rules=MOST_SCANNED, interval_level=INTERVAL_LEVEL,
        )  # fmt: skip
        for each in scanned:
            yield each.candidate.rule
        threshold = oracle.calibration.threshold(SCREEN_QUANTILE)
        explained_C = np.isnan(score_C)
        for rule in [*(each.candidate.rule for each in scanned), *self._found()]:
            explained_C |= matches(rule, codes_CF)
        high_R = np.flatnonzero(~explained_C & (score_C > threshold))
        high_R = high_R[np.argsort(-score_C[high_R], kind="stable")]
        self.on_step(f"asking {len(high_R)} high conditions again", oracle)
        rng = self._rng("rows", len(self.tested))
        questions = [partial(self._again, row, rng) for row in high_R]
        decisions = await oracle.decide(questions, RETEST, threshold=threshold) if questions else []
        for row, decision in zip(high_R, decisions, strict=True):
            if decision == "hit":
                yield self._row_rule(int(row))

    def _again(self, row: int, rng: np.random.Generator, count: int) -> np.ndarray:
        """The context of a condition, half of the time with its own task and else with a random one."""
        cells = self.space.draw(count, self._row_rule(row), rng)
        cells[: count // 2] = self.screen.digits_CA[row]
        return cells

    def _row_rule(self, row: int) -> Rule:
        declared = tuple(f for f in range(len(self.space.names)) if self.space.is_declared(f))
        codes = self.space.codes(self.screen.digits_CA[row : row + 1])[0]
        return Rule(declared, tuple((int(codes[factor]),) for factor in declared))

    async def _follow(self, rule: Rule, oracle: Oracle) -> None:
        """From a proposal to a test on fresh pairs, unless it does not fire beside what is confirmed already."""
        rng = self._rng("follow", rule)
        oracle.calibration = self.calibration(rule)
        low = oracle.calibration.threshold(SCREEN_QUANTILE)
        self.on_step(f"retest of {self._words(rule)}", oracle)
        if await oracle.fires(rule, RETEST, threshold=low, rng=rng) == "miss":
            return
        rate = await self._rate(rule, oracle, low, rng)
        self.on_step(f"minimise {self._words(rule)}", oracle)
        smaller = await drop_factors(rule, oracle, rate=rate, threshold=low, rng=rng)
        self.on_step(f"generalise {self._words(smaller)}", oracle)
        wider = await widen(smaller, oracle, rate=rate, threshold=low, rng=rng)
        if not wider.factors or any(each.rule == wider for each in self.tested) or self._explained(wider):
            return
        self.on_step(f"confirm {self._words(wider)}", oracle)
        oracle.calibration = self.calibration(wider)
        high = oracle.calibration.threshold(CONFIRM_QUANTILE)
        self.tested.append(
            await confirm(wider, oracle, threshold=high, delta=self.promise.delta, rng=self._rng("confirm", wider))
        )

    async def _rate(self, rule: Rule, oracle: Oracle, threshold: float, rng: np.random.Generator) -> float:
        """How often the rule fires, from a few trials; never taken as less than what the retest looks for."""
        score = await oracle.scores(oracle.space.draw(RATE_TRIALS, rule, rng))
        return float(np.clip((score > threshold).mean(), 0.2, 0.95))

    def _words(self, rule: Rule) -> str:
        parts = zip(rule.factors, rule.levels, strict=True)
        if len(rule.factors) > MOST_NAMED:
            return f"a context of {len(rule.factors)} factors"
        return " AND ".join(
            f"{self.space.names[f]} = {self.space.levels[f][codes[0]]}" + (" ..." if len(codes) > 1 else "")
            for f, codes in parts
        )

    def _rng(self, *key: object) -> np.random.Generator:
        """Draws that depend on the question and the seed alone, not on what was asked in between."""
        return np.random.default_rng(int(digest([self.seed, *map(str, key)])[:16], 16))
