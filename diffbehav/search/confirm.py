"""The test of one rule on fresh matched pairs."""

from collections.abc import Callable
from dataclasses import dataclass
from math import log

import numpy as np

from diffbehav.search.calibration import Measure
from diffbehav.search.oracle import BudgetSpent, Oracle
from diffbehav.stats.eprocess import MOST_PAIRS, confirm_status, log_e_value, tally
from diffbehav.stats.rule import Rule

OnPairs = Callable[[int, int, int, float], None]
PAIRS_A_ROUND = 20
QUICK_PAIRS = 60
QUICK_ROUND = 10
QUICK_LOG_E = log(10.0)
"""Nats of evidence after which a rule is worth the whole test."""
NO_CALLS = "the calls were spent before it could be asked"


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The matched pairs of one rule, up to where the test stopped."""

    rule: Rule
    beside: tuple[Rule, ...]
    """Rules whose contexts were left out, because they were explained already."""
    measure: Measure
    """What a condition fired by."""
    above_2P: np.ndarray
    """bool [2, P]: whether a pair fired with the rule whole, and with one factor broken."""
    unmeasured: int
    """Pairs that were asked and left out because one of their scores is missing."""
    status: str
    """`reached`, `refuted`, `spent`, or `open` where the budget ended the test."""
    log_e: float
    """Log of the e-value at the stop, nats."""
    threshold: float
    """The score above which a condition fired, fixed before the first pair."""

    @property
    def difference_P(self) -> np.ndarray:
        """int64 [P]: 1[whole rule above the threshold] - 1[one factor broken above it]."""
        return _differences(self.above_2P)

    @property
    def inside(self) -> int:
        """How many of the pairs fired with the rule whole."""
        return int(self.above_2P[0].sum())

    @property
    def outside(self) -> int:
        """How many fired with one factor broken."""
        return int(self.above_2P[1].sum())

    @property
    def untested(self) -> str | None:
        """Why there is no pair; None where there are some."""
        if self.above_2P.shape[1]:
            return None
        return f"none of {self.unmeasured} pairs could be measured" if self.unmeasured else NO_CALLS


async def differs(rule: Rule, oracle: Oracle, *, threshold: float, delta: float, rng: np.random.Generator) -> bool:
    """Whether a few matched pairs leave hope: an e-value of 10 at once, or 60 pairs with a mean above `delta`."""
    difference_P = np.empty(0, np.int64)
    while len(difference_P) < QUICK_PAIRS:
        pairs = oracle.space.pairs(QUICK_ROUND, rule, rng)
        score_2P = (await oracle.scores(np.concatenate(pairs))).reshape(2, -1)
        difference_P = np.append(difference_P, _differences(score_2P > threshold))
        if float(log_e_value(tally(difference_P), delta=delta)) >= QUICK_LOG_E:
            return True
    return bool(difference_P.mean() > delta)


async def confirm(
    rule: Rule, oracle: Oracle, *, threshold: float, delta: float, rng: np.random.Generator, on_pairs: OnPairs
) -> Confirmed:
    """Draw fresh pairs until the e-process against E X <= `delta` stops; nothing of the screen enters.

    `on_pairs` is told after every round how many pairs there are, how many fired whole and broken, and log e in nats.
    """
    above_2P = np.empty((2, 0), bool)
    unmeasured = 0
    stop = confirm_status(_differences(above_2P), delta=delta)
    while stop.status == "open" and unmeasured < MOST_PAIRS:
        pairs = oracle.space.pairs(PAIRS_A_ROUND, rule, rng)
        try:
            asked = await oracle.scores(np.concatenate(pairs))
        except BudgetSpent:
            break
        asked_2P = asked.reshape(2, -1)
        measured_P = ~np.isnan(asked_2P).any(axis=0)
        unmeasured += int((~measured_P).sum())
        above_2P = np.concatenate([above_2P, asked_2P[:, measured_P] > threshold], axis=1)
        stop = confirm_status(_differences(above_2P), delta=delta)
        inside, outside = above_2P[:, : int(stop.pairs)].sum(axis=1).tolist()
        on_pairs(int(stop.pairs), inside, outside, float(stop.log_e))
    return Confirmed(
        rule=rule,
        beside=oracle.space.explained,
        measure=oracle.calibration.measure,
        above_2P=above_2P[:, : int(stop.pairs)],
        unmeasured=unmeasured,
        status=str(stop.status),
        log_e=float(stop.log_e),
        threshold=threshold,
    )


def _differences(above_2P: np.ndarray) -> np.ndarray:
    return np.asarray(above_2P[0].astype(np.int64) - above_2P[1])
