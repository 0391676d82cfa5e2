"""One rule after another: what a found rule explains is taken away before the next is looked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffbehav.stats.exceedance import chances, cuts, ranking
from diffbehav.stats.intervals import clopper_pearson, log_tail
from diffbehav.stats.refine import Ranked, refine, score_outside
from diffbehav.stats.rule import Rule, matches
from diffbehav.stats.scan import QUANTILES, THRESHOLD, Candidate, scan

FLAG_QUANTILE = 0.995
"""A condition is flagged above this quantile of the conditions that no rule explains."""


@dataclass(frozen=True, slots=True)
class RuleEffect:
    """A rule and how much more often its conditions are flagged; conditions of earlier rules are left out."""

    candidate: Candidate
    """The rule with its evidence against the quantiles of the conditions outside it."""
    tau: float
    """Score above which a condition is flagged: the 0.995 quantile outside this rule and all earlier ones."""
    inside: int
    """Conditions that match."""
    flagged: int
    """How many of them are flagged."""
    rate_inside: float
    rate_low: float
    """Low end of the exact interval of `rate_inside`."""
    rate_high: float
    rate_outside: float
    """Share flagged of the conditions outside."""
    effect: float
    """`rate_inside - rate_outside`, in [-1, 1]."""


def peel(
    codes_CF: np.ndarray,
    *,
    cardinalities_F: Sequence[int],
    score_C: np.ndarray,
    task_C: np.ndarray,
    max_rules: int,
    interval_level: float,
    quantiles: Sequence[float] = QUANTILES,
    threshold: float = THRESHOLD,
    starts: Sequence[Rule] = (),
) -> list[RuleEffect]:
    """Rules in the order found, until none passes or there are `max_rules`.

    A rule passes with a `log_tail` below `threshold` (nats) and a `log_score` below 0: less than one rule of
    its shape is expected to do as well by chance. The first is looked for from the rules `starts`, too, whose levels
    need not stand out one by one.

    Shadows of a rule (its date beside its year, its pairs with other factors) go with the conditions it
    explains. `interval_level` is the coverage of the interval of each rate, e.g. 0.95. A NaN score takes no
    part.
    """
    sizes = tuple(int(size) for size in cardinalities_F)
    left_C = np.array(score_C, dtype=np.float64)
    rules: list[RuleEffect] = []
    while len(rules) < max_rules:
        candidates = scan(codes_CF, cardinalities_F=sizes, score_C=left_C, quantiles=quantiles, threshold=threshold)
        ranks = ranking(left_C)
        rows = ranks.row_R
        table = Ranked(codes_CF[rows], ranks, sizes, tuple(quantiles), threshold, task_C[rows])
        begun = [score_outside(rule, table) for rule in (starts if not rules and len(rows) else ())]
        if not candidates and not begun:
            break
        best = refine([*begun, *candidates], table)
        if best.log_tail >= threshold or best.log_score >= 0.0:
            break
        rules.append(_effect(best, table, interval_level))
        left_C[matches(best.rule, codes_CF)] = np.nan
    return rules


def _effect(candidate: Candidate, table: Ranked, interval_level: float) -> RuleEffect:
    inside_R = matches(candidate.rule, table.codes_RF)
    inside, outside = int(np.count_nonzero(inside_R)), int(np.count_nonzero(~inside_R))
    above = _flag_place(inside_R, table)
    flagged = int(np.count_nonzero(inside_R[:above]))
    low, high = clopper_pearson(flagged, inside, level=interval_level)
    rate_outside = (above - flagged) / outside
    return RuleEffect(
        candidate=candidate,
        tau=float(table.ranks.score_R[above]),
        inside=inside,
        flagged=flagged,
        rate_inside=flagged / inside,
        rate_low=float(low),
        rate_high=float(high),
        rate_outside=rate_outside,
        effect=flagged / inside - rate_outside,
    )


def _flag_place(inside_R: np.ndarray, table: Ranked) -> int:
    """Conditions above the flag quantile outside; of the two sides of a tie the one that separates better."""
    cut = cuts(table.ranks, reference_R=~inside_R, quantiles=(FLAG_QUANTILE,))
    if not len(cut.above_Q):
        return 0
    inside = int(np.count_nonzero(inside_R))
    rate_Q = chances(cut, reference=len(inside_R) - inside)
    return int(cut.above_Q[log_tail(cut.above_Q - cut.reference_Q, inside, rate=rate_Q).argmin()])
