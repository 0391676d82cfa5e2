"""Asks whether contexts fire: a score above a threshold, decided in as few answers as the evidence allows."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np

from diffbehav.search.calibration import Channels, Measure
from diffbehav.search.space import Space
from diffbehav.stats.rule import Rule, matches
from diffbehav.stats.sprt import Decision, Sprt

Ask = Callable[[np.ndarray], Awaitable[np.ndarray]]
"""Digits [N, A] of cells -> raw values [H, N] of the channels: both models asked and scored. Asking again is free."""
Drawn = Callable[[int], np.ndarray]
"""Draws that many cells of one question, as digits."""
TRIALS_A_ROUND = 4
LEAST_A_ROUND = 8
"""A single question is asked this often at once: engines answer eight contexts in about the time of one."""


class BudgetSpent(Exception):
    """No calls are left; what was learnt so far stands."""


class ShareSpent(Exception):
    """One proposal used up its share of the calls; the others are still worth asking."""


class Yardstick(Protocol):
    """Makes one score of the channels of a condition, and says above which score it fires."""

    @property
    def measure(self) -> Measure: ...

    def score(self, channels_HN: Channels, *, task_N: np.ndarray) -> np.ndarray:
        """float64 [N], NaN where nothing was measured."""
        ...

    def threshold(self, quantile: float) -> float:
        """The score that a share 1 - `quantile` of the ordinary conditions exceeds."""
        ...


@dataclass
class Oracle:
    """The models under comparison as the search sees them, with a count of what was asked."""

    space: Space
    ask: Ask
    calibration: Yardstick
    calls_left: int
    """Conditions that may still be asked, each one answer of the candidate."""
    calls_spent: int = 0
    unmeasured: int = 0
    """Conditions asked that have no score."""
    share_left: int | None = None
    """Calls that the proposal at hand may still use; None: as many as there are."""
    asked: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    """Every cell asked so far, as digits [N, A], and its raw values [H, N]."""

    @contextmanager
    def share(self, calls: int) -> Iterator[None]:
        """Inside, ShareSpent once more than `calls` would be asked; a share within one is part of it."""
        around = self.share_left
        given = calls if around is None else min(calls, around)
        self.share_left = given
        try:
            yield
        finally:
            spent = given - (self.share_left or 0)
            self.share_left = None if around is None else around - spent

    async def scores(self, digits_NA: np.ndarray) -> np.ndarray:
        """float64 [N]: screen scores of these cells, NaN where nothing could be measured."""
        if len(digits_NA) > self.calls_left:
            raise BudgetSpent
        if self.share_left is not None:
            if len(digits_NA) > self.share_left:
                raise ShareSpent
            self.share_left -= len(digits_NA)
        self.calls_left -= len(digits_NA)
        self.calls_spent += len(digits_NA)
        channels_HN = await self.ask(digits_NA)
        self.asked.append((digits_NA, channels_HN))
        score_N = self.calibration.score(channels_HN, task_N=digits_NA[:, 0])
        self.unmeasured += int(np.isnan(score_N).sum())
        return score_N

    def evidence(self, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
        """Codes [N, F] and scores [N] of what was asked inside `rule` so far, for whatever reason."""
        kept = [(digits[inside], channels[:, inside]) for digits, channels in self.asked
                if (inside := matches(rule, self.space.codes(digits))).any()]  # fmt: skip
        if not kept:
            return np.empty((0, len(self.space.names)), np.int64), np.empty(0)
        digits_NA = np.concatenate([digits for digits, _ in kept])
        channels_HN = np.concatenate([channels for _, channels in kept], axis=1)
        return self.space.codes(digits_NA), self.calibration.score(channels_HN, task_N=digits_NA[:, 0])

    async def fires(self, rule: Rule, test: Sprt, *, threshold: float, rng: np.random.Generator) -> Decision:
        """Whether random contexts inside `rule` exceed `threshold`."""
        decisions = await self.fire_each([rule], test, threshold=threshold, rng=rng)
        return decisions[0]

    async def fire_each(
        self, rules: Sequence[Rule], test: Sprt, *, threshold: float, rng: np.random.Generator
    ) -> list[Decision]:
        """`fires` for several rules, asked side by side."""
        return await self.decide([partial(self._draw, rule, rng) for rule in rules], test, threshold=threshold)

    async def decide(self, questions: Sequence[Drawn], test: Sprt, *, threshold: float) -> list[Decision]:
        """One decision per question, all asked side by side in rounds; a question past the cap stays undecided."""
        hits, trials = np.zeros(len(questions), int), np.zeros(len(questions), int)
        while (open_Q := np.flatnonzero(test.asks(hits, trials))).size:
            each = max(TRIALS_A_ROUND, LEAST_A_ROUND // len(open_Q))
            drawn = [questions[question](each) for question in open_Q]
            score = await self.scores(np.concatenate(drawn))
            # A condition without a score says nothing, but it is a trial: else a broken engine would never end it.
            above = (score > threshold).reshape(len(open_Q), each)
            hits[open_Q] += above.sum(axis=1)
            trials[open_Q] += each
        return [test.decide(int(h), int(t)) for h, t in zip(hits, trials, strict=True)]

    def _draw(self, rule: Rule, rng: np.random.Generator, count: int) -> np.ndarray:
        return self.space.draw(count, rule, rng)
