"""The test of one rule on fresh matched pairs."""

from dataclasses import dataclass

import numpy as np

from diffbehav.search.oracle import BudgetSpent, Oracle
from diffbehav.stats.eprocess import MOST_PAIRS, confirm_status
from diffbehav.stats.rule import Rule

PAIRS_A_ROUND = 20


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The matched pairs of one rule, up to where the test stopped."""

    rule: Rule
    difference_P: np.ndarray
    """int64 [P]: 1[whole rule above the threshold] - 1[one factor broken above it]."""
    unmeasured: int
    """Pairs that were asked and left out because one of their scores is missing."""
    inside: int
    """How many of the pairs fired with the rule whole."""
    outside: int
    """How many fired with one factor broken."""
    status: str
    """`reached`, `futile`, `spent`, or `open` where the budget ended the test."""
    log_e: float
    """Log of the e-value at the stop, nats."""
    threshold: float
    """The score above which a condition fired, fixed before the first pair."""


async def confirm(
    rule: Rule, oracle: Oracle, *, threshold: float, delta: float, rng: np.random.Generator
) -> Confirmed:
    """Draw fresh pairs until the e-process against E X <= `delta` stops; nothing of the screen enters."""
    score_2P = np.empty((2, 0))
    unmeasured = 0
    stop = confirm_status(_differences(score_2P, threshold), delta=delta)
    while stop.status == "open" and unmeasured < MOST_PAIRS:
        cells = oracle.space.draw(PAIRS_A_ROUND, rule, rng)
        try:
            asked = await oracle.scores(np.concatenate([cells, oracle.space.broken(cells, rule, rng)]))
        except BudgetSpent:
            break
        asked_2P = asked.reshape(2, -1)
        measured_P = ~np.isnan(asked_2P).any(axis=0)
        unmeasured += int((~measured_P).sum())
        score_2P = np.concatenate([score_2P, asked_2P[:, measured_P]], axis=1)
        stop = confirm_status(_differences(score_2P, threshold), delta=delta)
    used_2P = score_2P[:, : int(stop.pairs)]
    inside, outside = (used_2P > threshold).sum(axis=1)
    return Confirmed(
        rule=rule,
        difference_P=_differences(used_2P, threshold),
        unmeasured=unmeasured,
        inside=int(inside),
        outside=int(outside),
        status=str(stop.status),
        log_e=float(stop.log_e),
        threshold=threshold,
    )


def _differences(score_2P: np.ndarray, threshold: float) -> np.ndarray:
    above = (score_2P > threshold).astype(np.int64)
    return np.asarray(above[0] - above[1])
