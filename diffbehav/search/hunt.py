"""Propose, retest, minimise, kill quickly, widen, confirm: the rounds of a search."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import exp
from typing import NamedTuple

import numpy as np

from diffbehav.records import digest
from diffbehav.search.calibration import Calibration, Measure, calibrate
from diffbehav.search.confirm import Confirmed, confirm, differs
from diffbehav.search.minimise import drop_factors, narrow, widen
from diffbehav.search.oracle import Oracle, ShareSpent, Yardstick
from diffbehav.search.space import NoContextError, Space
from diffbehav.stats.eprocess import THRESHOLD
from diffbehav.stats.majority import majority
from diffbehav.stats.peel import peel
from diffbehav.stats.rule import Rule, matches
from diffbehav.stats.sprt import Sprt

ROW_RETEST = Sprt(p0=0.05, p1=0.36, alpha=0.01, beta=0.05, cap=60)
CONTEXT_RETEST = Sprt(p0=0.03, p1=0.25, alpha=0.01, beta=0.02, cap=60)
"""Asked once more of a condition that fired again: of many that were asked some did so by chance."""
RULE_RETEST = Sprt(p0=0.03, p1=0.12, alpha=0.02, beta=0.05, cap=120)
"""A rule of the scan may hold all conditions of a narrower one and many others, so it may fire more rarely."""
SCREEN_QUANTILE = 0.98
"""Conditions of the screen above it are asked again."""
MOST_WIDE = 48
"""Conditions that are asked again in a round where there may be any number: of the wide screen, or of a majority."""
FIRE_QUANTILE = 0.995
"""A context fires above this quantile of the ordinary conditions."""
MOST_BESIDE = 0.05
"""A task in which more of the other conditions fire as well says nothing about a context, so it is not asked again."""
RATE_TRIALS = 16
PROPOSAL_SHARE = 0.2
"""Share of all calls that one proposal may use before it is tested."""
MOST_SCANNED = 10
MOST_NAMED = 3
"""Factors of a rule that a progress line spells out."""
INTERVAL_LEVEL = 0.95
OnStep = Callable[[str, Oracle], None]


@dataclass(frozen=True)
class Screen:
    """What was collected before the search: C conditions."""

    digits_CA: np.ndarray
    channels_HC: np.ndarray
    excess_C: np.ndarray | None = None
    """float64 [C]: findings in the candidate's code beyond the trusted model's, NaN where there is none to read."""
    stratum_C: np.ndarray | None = None
    """int64 [C]: what each condition is standardised within; None: its task."""

    @property
    def strata_C(self) -> np.ndarray:
        """int64 [C]: the stratum of every condition."""
        return self.digits_CA[:, 0] if self.stratum_C is None else self.stratum_C

    @property
    def measured(self) -> int:
        """Conditions in which any channel was measured."""
        return int(np.count_nonzero(~np.isnan(self.channels_HC).all(axis=0)))


class _Tier(NamedTuple):
    """A screen that proposals are drawn from."""

    name: str
    screen: Screen
    codes_CF: np.ndarray
    most: int | None
    """Conditions that are asked again in a round; None: all that are high."""
    retested: set[int]
    """Conditions that were asked again."""


@dataclass
class Hunt:
    """One search: what was proposed, asked and tested so far."""

    screen: Screen
    space: Space
    delta: float
    """Tolerated excess of the firing rate over matched controls."""
    calls: int
    seed: int
    on_step: OnStep
    tested: list[Confirmed] = field(default_factory=list)
    sentinels: list[Confirmed] = field(default_factory=list)
    """Rules of earlier runs that were tested before the first round."""
    wide: Screen | None = None
    """Contexts that were scored and not asked."""
    left_open: int = 0
    """Proposals that used up their share of the calls, or that the suite leaves nothing to compare with."""
    _tried: set[Rule] = field(default_factory=set)
    _majorities: dict[tuple[str, tuple[Rule, ...]], Sequence[Rule]] = field(default_factory=dict)

    async def round(self, oracle: Oracle) -> bool:
        """Propose and follow up; False when nothing new was proposed."""
        fresh = False
        for tier in self._tiers:
            oracle.calibration = self.calibration()
            fresh |= await self._follow(self._scanned(tier), RULE_RETEST, oracle)
            # What the scan's rules explain must not lift the threshold that single conditions are asked against.
            oracle.calibration = self.calibration()
            fresh |= await self._follow(await self._fired_again(tier, oracle), CONTEXT_RETEST, oracle)
        return fresh

    async def _follow(self, proposals: Sequence[Rule], retest: Sprt, oracle: Oracle) -> bool:
        """Whether any of the proposals was new."""
        fresh = False
        for rule in proposals:
            if rule not in self._tried:
                self._tried.add(rule)
                fresh |= await self.propose(rule, retest, oracle)
        return fresh

    async def propose(self, rule: Rule, retest: Sprt, oracle: Oracle) -> bool:
        """Follow a proposal up, in the contexts that no confirmed rule explains; False where none is left."""
        oracle.space = self.space.beside(self._found())
        try:
            if self._explained(rule):
                return False
            with oracle.share(int(PROPOSAL_SHARE * self.calls)):
                smallest = await self._reduced(rule, retest, oracle)
            if smallest is not None:
                await self.confirm(smallest, self._threshold_beside(smallest, oracle), oracle)
        except (ShareSpent, NoContextError):
            self.left_open += 1
        return True

    def calibration(self, *beside: Rule) -> Calibration:
        """Fitted on the conditions that neither a confirmed rule nor one of `beside` explains."""
        return self._calibrated(self._tiers[0], *beside)

    @property
    def codes_CF(self) -> np.ndarray:
        """int64 [C, F] of the screen."""
        return self._tiers[0].codes_CF

    @cached_property
    def _tiers(self) -> list[_Tier]:
        """The screen, and behind it the wide one."""
        screens = [("rows", self.screen, None), ("wide rows", self.wide, MOST_WIDE)]
        return [
            _Tier(name, screen, self.space.codes(screen.digits_CA), most, set())
            for name, screen, most in screens
            if screen is not None
        ]

    def _calibrated(self, tier: _Tier, *beside: Rule) -> Calibration:
        left_C = _outside((*self._found(), *beside), tier.codes_CF)
        ordinary_C = left_C & _outside(self._majority(tier), tier.codes_CF)
        fitted_C = ordinary_C if ordinary_C.any() else left_C
        return calibrate(tier.screen.channels_HC, task_C=tier.screen.strata_C, ordinary_C=fitted_C)

    def _majority(self, tier: _Tier) -> Sequence[Rule]:
        """The rule that holds in most of the conditions that no confirmed one explains, if there is one."""
        found = tuple(self._found())
        if (tier.name, found) not in self._majorities:
            left_C = _outside(found, tier.codes_CF)
            rule = majority(
                tier.screen.channels_HC[:, left_C], tier.codes_CF[left_C], task_C=tier.screen.strata_C[left_C],
                cardinalities_F=self.space.cardinalities_F,
            )  # fmt: skip
            self._majorities[tier.name, found] = () if rule is None else (rule,)
        return self._majorities[tier.name, found]

    @property
    def is_open(self) -> bool:
        """Whether a proposal or a test came to no end."""
        return self.left_open > 0 or any(each.status == "open" for each in (*self.sentinels, *self.tested))

    def confirmed(self) -> Iterator[Confirmed]:
        """The rules whose evidence sufficed, by whatever their conditions fire."""
        return (each for each in (*self.sentinels, *self.tested) if each.status == "reached")

    def _found(self) -> Iterator[Rule]:
        """The rules that explain a screen score."""
        return (each.rule for each in self.confirmed() if each.measure == Calibration.measure)

    def _explained(self, rule: Rule) -> bool:
        """Whether all random contexts inside `rule` are inside a confirmed one."""
        sample = self.space.codes(self.space.draw(64, rule, self._rng("explained", rule)))
        return any(matches(found, sample).all() for found in self._found())

    def _unexplained(self, tier: _Tier, calibration: Yardstick) -> np.ndarray:
        """Scores [C] of a screen, NaN where a confirmed rule explains the condition."""
        score_C = calibration.score(tier.screen.channels_HC, task_N=tier.screen.strata_C)
        for found in self._found():
            score_C[matches(found, tier.codes_CF)] = np.nan
        return score_C

    def _scanned(self, tier: _Tier) -> list[Rule]:
        """What a screen proposes by itself."""
        scanned = peel(
            tier.codes_CF, cardinalities_F=self.space.cardinalities_F,
            score_C=self._unexplained(tier, self._calibrated(tier)), task_C=tier.screen.digits_CA[:, 0],
            max_rules=MOST_SCANNED, interval_level=INTERVAL_LEVEL, starts=self._majority(tier),
        )  # fmt: skip
        return [each.candidate.rule for each in scanned]

    async def _fired_again(self, tier: _Tier, oracle: Oracle) -> list[Rule]:
        """The contexts of the highest conditions that fire when they are asked again, those that fire most first."""
        calibration = self._calibrated(tier)
        score_C = self._unexplained(tier, calibration)
        with np.errstate(invalid="ignore"):
            high_R = np.flatnonzero(score_C > calibration.threshold(SCREEN_QUANTILE))
            fired_C = score_C > calibration.threshold(FIRE_QUANTILE)
        high_R = high_R[np.argsort(-score_C[high_R], kind="stable")]
        most = MOST_WIDE if self._majority(tier) else tier.most
        new_R = [int(row) for row in high_R if row not in tier.retested][:most]
        if not new_R:
            return []
        tier.retested.update(new_R)
        self.on_step(f"asking {len(new_R)} high conditions again", oracle)
        oracle.space = self.space.beside(self._found())
        rng = self._rng(tier.name, len(tier.retested))
        threshold = oracle.calibration.threshold(FIRE_QUANTILE)
        quiet = _beside(fired_C, ~np.isnan(score_C), task_C=tier.screen.digits_CA[:, 0]) <= MOST_BESIDE
        rows = {row: tier.screen.digits_CA[row] for row in new_R}
        questions = [partial(self._again, cell, bool(quiet[row]), oracle.space, rng) for row, cell in rows.items()]
        decisions = await oracle.decide(questions, ROW_RETEST, threshold=threshold)
        firing = [self._row_rule(cell) for cell, said in zip(rows.values(), decisions, strict=True) if said != "miss"]
        return sorted(firing, key=lambda rule: -float((oracle.evidence(rule)[1] > threshold).mean()))

    def _again(self, cell_A: np.ndarray, own: bool, space: Space, rng: np.random.Generator, count: int) -> np.ndarray:
        """The context of a cell with random tasks; where `own`, half of the time with the task it fired with."""
        cells = space.draw(count, self._row_rule(cell_A), rng)
        if own:
            cells[: count // 2] = cell_A
        return cells

    def _row_rule(self, cell_A: np.ndarray) -> Rule:
        sizes = self.space.cardinalities_F
        declared = tuple(f for f in range(len(sizes)) if self.space.is_declared(f) and sizes[f] > 1)
        codes = self.space.codes(cell_A[None])[0]
        return Rule(declared, tuple((int(codes[factor]),) for factor in declared))

    async def _reduced(self, rule: Rule, retest: Sprt, oracle: Oracle) -> Rule | None:
        """The rule behind a proposal; None where it does not fire, or not more often than its matched controls."""
        rng = self._rng("follow", rule)
        threshold = self._threshold_beside(rule, oracle)
        self.on_step(f"retest of {self._words(rule)}", oracle)
        if await oracle.fires(rule, retest, threshold=threshold, rng=rng) == "miss":
            return None
        rule = self._narrowed(rule, oracle, threshold)
        rate = await self._rate(rule, oracle, threshold, rng)
        self.on_step(f"minimise {self._words(rule)}", oracle)
        smaller = await drop_factors(rule, oracle, rate=rate, threshold=threshold, rng=rng)
        smaller = self._narrowed(smaller, oracle, threshold)
        if not smaller.factors or self._known(smaller):
            return None
        threshold = self._threshold_beside(smaller, oracle)
        self.on_step(f"matched pairs of {self._words(smaller)}", oracle)
        if not await differs(smaller, oracle, threshold=threshold, delta=self.delta, rng=rng):
            return None
        smaller = self._narrowed(smaller, oracle, threshold)
        self.on_step(f"generalise {self._words(smaller)}", oracle)
        rate = await self._rate(smaller, oracle, threshold, rng)
        wider = await widen(smaller, oracle, rate=rate, threshold=threshold, rng=rng)
        return None if not wider.factors or self._known(wider) else wider

    async def confirm(self, rule: Rule, threshold: float, oracle: Oracle) -> None:
        """Put `rule` to the test on fresh matched pairs."""
        words = f"confirm {self._words(rule)}"
        self.on_step(words, oracle)

        def on_pairs(pairs: int, inside: int, outside: int, log_e: float) -> None:
            evidence = f"{pairs} pairs, {inside} fire inside and {outside} outside, e-value {exp(log_e):.3g}"
            self.on_step(f"{words}: {evidence} of {THRESHOLD:.0f}", oracle)

        rng = self._rng("confirm", rule)
        self.tested.append(
            await confirm(rule, oracle, threshold=threshold, delta=self.delta, rng=rng, on_pairs=on_pairs)
        )

    def _threshold_beside(self, rule: Rule, oracle: Oracle) -> float:
        """The firing threshold of the conditions outside `rule`; the oracle scores by them from here on."""
        oracle.calibration = self.calibration(rule)
        return oracle.calibration.threshold(FIRE_QUANTILE)

    def is_tested(self, rule: Rule, measure: Measure) -> bool:
        """Whether `rule` was put to the test by `measure`, also as a sentinel: it is one hypothesis, tested once."""
        return any((each.rule, each.measure) == (rule, measure) for each in (*self.sentinels, *self.tested))

    def _known(self, rule: Rule) -> bool:
        return self.is_tested(rule, Calibration.measure) or self._explained(rule)

    def _narrowed(self, rule: Rule, oracle: Oracle, threshold: float) -> Rule:
        score_C = self._unexplained(self._tiers[0], oracle.calibration)
        return narrow(rule, oracle, threshold=threshold, screened=(self.codes_CF, score_C))

    async def _rate(self, rule: Rule, oracle: Oracle, threshold: float, rng: np.random.Generator) -> float:
        """How often the rule fires by what was asked so far; no less than 0.1, else the tests that follow never end."""
        _, score_N = oracle.evidence(rule)
        if len(score_N) < RATE_TRIALS:
            score_N = np.append(score_N, await oracle.scores(oracle.space.draw(RATE_TRIALS - len(score_N), rule, rng)))
        return float(np.clip((score_N > threshold).mean(), 0.1, 0.95))

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


def _outside(rules: Iterable[Rule], codes_CF: np.ndarray) -> np.ndarray:
    """bool [C]: conditions inside none of the rules."""
    outside_C = np.ones(len(codes_CF), bool)
    for rule in rules:
        outside_C &= ~matches(rule, codes_CF)
    return outside_C


def _beside(fired_C: np.ndarray, scored_C: np.ndarray, *, task_C: np.ndarray) -> np.ndarray:
    """float64 [C]: for each condition the share of the others of its task that fired."""
    fired_T, scored_T = (np.bincount(task_C, weights=each_C) for each_C in (fired_C, scored_C))
    others_C = np.maximum(scored_T[task_C] - scored_C, 1)
    return np.asarray((fired_T[task_C] - fired_C) / others_C)
