"""Asks whether contexts fire: a score above a threshold, decided in as few answers as the evidence allows."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from diffbehav.search.calibration import Calibration
from diffbehav.search.space import Space
from diffbehav.stats.rule import Rule
from diffbehav.stats.sprt import Decision, Sprt

Ask = Callable[[np.ndarray], Awaitable[np.ndarray]]
"""Digits [N, A] of cells -> raw values [H, N] of the channels: both models asked and scored. Asking again is free."""
Drawn = Callable[[int], np.ndarray]
"""Draws that many cells of one question, as digits."""
TRIALS_A_ROUND = 4


class BudgetSpent(Exception):
    """No calls are left; what was learnt so far stands."""


@dataclass
class Oracle:
    """The models under comparison as the search sees them, with a count of what was asked."""

    space: Space
    ask: Ask
    calibration: Calibration
    calls_left: int
    """Conditions that may still be asked, each one answer of the candidate."""
    calls_spent: int = 0
    unmeasured: int = 0
    """Conditions asked that have no score."""

    async def scores(self, digits_NA: np.ndarray) -> np.ndarray:
        """float64 [N]: screen scores of these cells, NaN where nothing could be measured."""
        if len(digits_NA) > self.calls_left:
            raise BudgetSpent
        self.calls_left -= len(digits_NA)
        self.calls_spent += len(digits_NA)
        score_N = self.calibration.score(await self.ask(digits_NA), task_N=digits_NA[:, 0])
        self.unmeasured += int(np.isnan(score_N).sum())
        return score_N

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
            drawn = [questions[question](TRIALS_A_ROUND) for question in open_Q]
            score = await self.scores(np.concatenate(drawn))
            # A condition without a score says nothing, but it is a trial: else a broken engine would never end it.
            above = (score > threshold).reshape(len(open_Q), TRIALS_A_ROUND)
            hits[open_Q] += above.sum(axis=1)
            trials[open_Q] += TRIALS_A_ROUND
        return [test.decide(int(h), int(t)) for h, t in zip(hits, trials, strict=True)]

    def _draw(self, rule: Rule, rng: np.random.Generator, count: int) -> np.ndarray:
        return self.space.draw(count, rule, rng)
