"""Every level and every pair of levels, scored by how many high conditions it holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log
from typing import NamedTuple

import numpy as np

from diffbehav.stats.exceedance import cuts, ranking
from diffbehav.stats.intervals import log_tail
from diffbehav.stats.rule import Rule, log_rules

QUANTILES = (0.97, 0.99, 0.995)
THRESHOLD = log(1e-4)
DENSE_CELLS = 4_000_000
"""Pairs of factors with more cells than this are counted over the cells that occur."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule with more high conditions than its size explains."""

    rule: Rule
    n: int
    """Conditions that match."""
    exceed: int
    """How many of them lie above the quantile."""
    quantile: float
    """The quantile at which the excess is least likely."""
    log_tail: float
    """log P(as many or more above the quantile by chance), nats; the least over the quantiles."""
    log_score: float
    """`log_tail` plus the log of the number of rules of this shape; the lower the better."""


def scan(
    codes_CF: np.ndarray,
    *,
    cardinalities_F: Sequence[int],
    score_C: np.ndarray,
    quantiles: Sequence[float] = QUANTILES,
    threshold: float = THRESHOLD,
) -> list[Candidate]:
    """Rules with `log_tail` below `threshold`, best `log_score` first; a NaN score takes no part.

    The levels of one factor that pass alone are also joined to one rule, which is kept if it beats the best
    of them. A pair that matches the same conditions as one of its levels (a date and its year) is left out.
    """
    ranks = ranking(score_C)
    if not len(ranks.row_R):
        return []
    cut = cuts(ranks, reference_R=np.ones(len(ranks.row_R), dtype=bool), quantiles=quantiles)
    if not len(cut.above_Q):
        return []
    rate_Q = np.maximum(1.0 - cut.quantile_Q, cut.above_Q / len(ranks.row_R))
    counter = _Counter(cut.above_Q, rate_Q, cut.quantile_Q, tuple(int(size) for size in cardinalities_F))
    codes_FR = np.ascontiguousarray(codes_CF[ranks.row_R].T)
    found = [
        candidate for factor, code_R in enumerate(codes_FR) for candidate in _levels(counter, factor, code_R, threshold)
    ]
    for first, second in combinations(range(len(codes_FR)), 2):
        found.extend(_pairs(counter, (first, second), codes_FR[first], codes_FR[second], threshold))
    return sorted(found, key=preference)


def preference(candidate: Candidate) -> tuple[float, int, int, Rule]:
    """Sort key: best score first, then the rule with fewer factors, then fewer levels."""
    return (
        candidate.log_score,
        len(candidate.rule.factors),
        sum(map(len, candidate.rule.levels)),
        candidate.rule,
    )


class _Counter(NamedTuple):
    above_Q: np.ndarray
    rate_Q: np.ndarray
    quantile_Q: np.ndarray
    cardinalities_F: tuple[int, ...]

    def candidate(self, rule: Rule, n: int, exceed_Q: np.ndarray) -> Candidate:
        tail_Q = log_tail(exceed_Q, n, rate=self.rate_Q)
        best = int(tail_Q.argmin())
        tail = float(tail_Q[best])
        return Candidate(
            rule=rule,
            n=n,
            exceed=int(exceed_Q[best]),
            quantile=float(self.quantile_Q[best]),
            log_tail=tail,
            log_score=tail + log_rules(rule, cardinalities_F=self.cardinalities_F),
        )


def _levels(counter: _Counter, factor: int, code_R: np.ndarray, threshold: float) -> Iterator[Candidate]:
    cell_X, n_X, exceed_XQ = _enriched(counter, code_R, counter.cardinalities_F[factor], threshold)
    singles = [
        counter.candidate(Rule((factor,), ((int(cell),),)), int(n), exceed_Q)
        for cell, n, exceed_Q in zip(cell_X, n_X, exceed_XQ, strict=True)
    ]
    yield from singles
    if 1 < len(singles) < counter.cardinalities_F[factor]:
        rule = Rule((factor,), (tuple(cell_X.tolist()),))
        joined = counter.candidate(rule, int(n_X.sum()), exceed_XQ.sum(axis=0))
        if joined.log_score < min(single.log_score for single in singles):
            yield joined


def _pairs(
    counter: _Counter, factors: tuple[int, int], first_R: np.ndarray, second_R: np.ndarray, threshold: float
) -> Iterator[Candidate]:
    first_size, second_size = (counter.cardinalities_F[factor] for factor in factors)
    cell_R = np.ravel_multi_index((first_R, second_R), (first_size, second_size))
    cell_X, n_X, exceed_XQ = _enriched(counter, cell_R, first_size * second_size, threshold)
    first_X, second_X = np.divmod(cell_X, second_size)
    alone = np.bincount(first_R, minlength=first_size), np.bincount(second_R, minlength=second_size)
    new_X = (n_X < alone[0][first_X]) & (n_X < alone[1][second_X])
    for place in np.flatnonzero(new_X):
        rule = Rule(factors, ((int(first_X[place]),), (int(second_X[place]),)))
        yield counter.candidate(rule, int(n_X[place]), exceed_XQ[place])


def _enriched(
    counter: _Counter, cell_R: np.ndarray, size: int, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells [X] below the threshold at some quantile, their conditions [X], and those above each cut [X, Q].

    `cell_R` has the cell of each condition by falling score.
    """
    if size > max(DENSE_CELLS, len(cell_R)):
        occurring, compact_R = np.unique(cell_R, return_inverse=True)
        place_X, n_X, exceed_XQ = _enriched(counter, compact_R, len(occurring), threshold)
        return occurring[place_X], n_X, exceed_XQ
    n_X = np.bincount(cell_R, minlength=size)
    exceed_XQ = np.stack([np.bincount(cell_R[:above], minlength=size) for above in counter.above_Q], axis=1)
    hit_X = np.flatnonzero((exceed_XQ > n_X[:, None] * counter.rate_Q).any(axis=1))
    tail_X = log_tail(exceed_XQ[hit_X], n_X[hit_X, None], rate=counter.rate_Q).min(axis=1)
    kept_X = hit_X[tail_X < threshold]
    return kept_X, n_X[kept_X], exceed_XQ[kept_X]
