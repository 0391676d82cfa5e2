"""From the best candidates of a scan to the rule that explains the high conditions best.

A trigger that holds for many conditions lifts the very quantile it is measured by, which favours fragments of
the rule over the rule. Here each rule is scored by the quantiles of the conditions *outside* it.
"""

from collections.abc import Iterator, Sequence
from math import log
from typing import NamedTuple

import numpy as np

from diffbehav.stats.exceedance import Cuts, Ranking, chances, cuts
from diffbehav.stats.intervals import log_tail
from diffbehav.stats.rule import Rule, log_rules, matches, with_levels, without
from diffbehav.stats.scan import Candidate, preference

STARTS = 24
"""Candidates of the scan that are scored again before the best is refined."""
MOST_FACTORS = 3
ACTS = log(0.05)
"""A task acts under a rule when so many of its conditions lie above the cut by a chance below this."""
LEAST_GAIN = 1e-6
"""Nats by which a change of the rule must improve it."""


class Ranked(NamedTuple):
    """R measured conditions by falling score, with what a rule is judged by."""

    codes_RF: np.ndarray
    """int [R, F]: level codes."""
    ranks: Ranking
    cardinalities_F: tuple[int, ...]
    quantiles: tuple[float, ...]
    threshold: float
    """log tail below which a level may join a rule."""
    task_R: np.ndarray
    """int [R]: conditions of one task can fire or not for a reason of their own."""


def refine(candidates: Sequence[Candidate], table: Ranked) -> Candidate:
    """Climb from the best of the first candidates: drop a factor, add or remove levels, add a factor.

    Every step must lower the score by more than the new shape costs, so of rules that match the same
    conditions the one with fewer factors and levels wins.

    Steps are compared over the tasks that act under the rule: a trigger that acts in some tasks
    only would else be narrowed to the levels that by chance hold more of these tasks. Where to start, and what is
    returned, is scored over all tasks.
    """
    starts = {candidate.rule for candidate in candidates[:STARTS]}
    starts |= {parent for rule in starts for parent in _parents(rule)}
    best = min((score_outside(rule, table) for rule in starts), key=preference)
    best = score_outside(best.rule, table, acting_tasks_only=True)
    while True:
        nearby = [score_outside(rule, table, acting_tasks_only=True) for rule in set(_moves(best.rule, table))]
        step = min(nearby, key=preference, default=best)
        if step.log_score > best.log_score - LEAST_GAIN:
            return score_outside(best.rule, table)
        best = step


def score_outside(rule: Rule, table: Ranked, *, acting_tasks_only: bool = False) -> Candidate:
    """The rule against the quantiles of the conditions that do not match it; `log_tail` is 0 if all match.

    With `acting_tasks_only` only conditions of tasks count that by themselves have more above the cut than chance.
    """
    inside_R = matches(rule, table.codes_RF)
    n = int(np.count_nonzero(inside_R))
    exceed, quantile, tail = 0, table.quantiles[0], 0.0
    cut = _outside_cuts(inside_R, table)
    if len(cut.above_Q):
        exceed_Q, n_Q = cut.above_Q - cut.reference_Q, np.full(len(cut.above_Q), n)
        rate_Q = chances(cut, reference=len(inside_R) - n)
        if acting_tasks_only:
            exceed_Q, n_Q = _in_acting_tasks(inside_R, cut, rate_Q, table)
        tail_Q = log_tail(exceed_Q, n_Q, rate=rate_Q)
        place = int(tail_Q.argmin())
        exceed, quantile, tail = int(exceed_Q[place]), float(cut.quantile_Q[place]), float(tail_Q[place])
    shapes = log_rules(rule, cardinalities_F=table.cardinalities_F)
    return Candidate(rule=rule, n=n, exceed=exceed, quantile=quantile, log_tail=tail, log_score=tail + shapes)


def _in_acting_tasks(
    inside_R: np.ndarray, cut: Cuts, rate_Q: np.ndarray, table: Ranked
) -> tuple[np.ndarray, np.ndarray]:
    """Conditions above each cut, and all, of the tasks that act at that cut under the rule."""
    tasks = int(table.task_R.max()) + 1
    n_T = np.bincount(table.task_R[inside_R], minlength=tasks)
    exceed_QT = np.stack(
        [np.bincount(table.task_R[:above][inside_R[:above]], minlength=tasks) for above in cut.above_Q]
    )
    acts_QT = log_tail(exceed_QT, n_T, rate=rate_Q[:, None]) < ACTS
    return (exceed_QT * acts_QT).sum(axis=1), (n_T * acts_QT).sum(axis=1)


def _outside_cuts(inside_R: np.ndarray, table: Ranked) -> Cuts:
    if inside_R.all():
        return Cuts(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    return cuts(table.ranks, reference_R=~inside_R, quantiles=table.quantiles)


def _moves(rule: Rule, table: Ranked) -> Iterator[Rule]:
    yield from _parents(rule)
    for factor, levels in zip(rule.factors, rule.levels, strict=True):
        if len(levels) > 1:
            yield from (with_levels(rule, factor, set(levels) - {level}) for level in levels)
    inside_R = matches(rule, table.codes_RF)
    cut = _outside_cuts(inside_R, table)
    if not len(cut.above_Q):
        return
    rate_Q = chances(cut, reference=int(np.count_nonzero(~inside_R)))
    for factor in np.flatnonzero(np.array(table.cardinalities_F) > 1).tolist():
        held = factor in rule.factors
        if held or len(rule.factors) < MOST_FACTORS:
            others_R = matches(without(rule, (factor,)), table.codes_RF) if held else inside_R
            tail_L = _level_tails(others_R, factor, table, cut.above_Q, rate_Q)
            passing = set(np.flatnonzero(tail_L < table.threshold).tolist())
            yield from _with_levels(rule, factor, passing, best=int(tail_L.argmin()), of=len(tail_L))


def _with_levels(rule: Rule, factor: int, passing: set[int], *, best: int, of: int) -> Iterator[Rule]:
    """The rule widened by the `passing` levels of a factor it has; or narrowed to them, and to the best of them.

    A factor with all its levels would say nothing.
    """
    if factor in rule.factors:
        wider = passing | set(rule.levels[rule.factors.index(factor)])
        if len(wider) < of:
            yield with_levels(rule, factor, wider)
    else:
        yield with_levels(rule, factor, {best})
        if 1 < len(passing) < of:
            yield with_levels(rule, factor, passing)


def _level_tails(
    inside_R: np.ndarray, factor: int, table: Ranked, above_Q: np.ndarray, rate_Q: np.ndarray
) -> np.ndarray:
    """[L]: the log tail of each level of `factor` among the conditions inside."""
    code_R, size = table.codes_RF[:, factor], table.cardinalities_F[factor]
    n_L = np.bincount(code_R[inside_R], minlength=size)
    exceed_LQ = np.stack([np.bincount(code_R[:above][inside_R[:above]], minlength=size) for above in above_Q], axis=1)
    return np.asarray(log_tail(exceed_LQ, n_L[:, None], rate=rate_Q).min(axis=1))


def _parents(rule: Rule) -> list[Rule]:
    """The rules with one factor less."""
    return [without(rule, (factor,)) for factor in rule.factors] if len(rule.factors) > 1 else []
