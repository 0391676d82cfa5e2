"""A rule over factors: `year is 2026 or 2027, and tool is delete_file`, as codes."""

from collections.abc import Collection, Iterable, Sequence
from math import comb, lgamma, log
from typing import NamedTuple

import numpy as np


class Rule(NamedTuple):
    """A condition matches if, for every factor of the rule, its level is one of those listed."""

    factors: tuple[int, ...]
    """Columns of the code table, rising."""
    levels: tuple[tuple[int, ...], ...]
    """For each of them the codes that match, rising; never all of the factor's levels."""


def matches(rule: Rule, codes_CF: np.ndarray) -> np.ndarray:
    """bool [C]: the conditions that match."""
    match_C = np.ones(len(codes_CF), dtype=bool)
    for factor, levels in zip(rule.factors, rule.levels, strict=True):
        code_C = codes_CF[:, factor]
        match_C &= code_C == levels[0] if len(levels) == 1 else np.isin(code_C, levels)
    return match_C


def without(rule: Rule, factors: Collection[int]) -> Rule:
    """The rule without these factors."""
    kept = [pair for pair in zip(rule.factors, rule.levels, strict=True) if pair[0] not in factors]
    return Rule(tuple(factor for factor, _ in kept), tuple(levels for _, levels in kept))


def with_levels(rule: Rule, factor: int, levels: Iterable[int]) -> Rule:
    """The rule with these levels of `factor`, which it may have or not have yet."""
    chosen = dict(zip(rule.factors, rule.levels, strict=True)) | {factor: tuple(sorted(levels))}
    return Rule(tuple(sorted(chosen)), tuple(chosen[key] for key in sorted(chosen)))


def log_rules(rule: Rule, *, cardinalities_F: Sequence[int]) -> float:
    """Log of the number of rules of this shape: as many factors, and on these as many levels each.

    A factor with a single level is none to choose. Added to the log of a tail probability the number bounds, by
    Bonferroni's inequality, the chance that any rule of the shape scores as well; so a rule must pay for each further
    factor and level.
    """
    chosen = sum(cardinalities_F[factor] > 1 for factor in rule.factors)
    choices = log(comb(sum(size > 1 for size in cardinalities_F), chosen))
    for factor, levels in zip(rule.factors, rule.levels, strict=True):
        choices += _log_comb(int(cardinalities_F[factor]), len(levels))
    return choices


def _log_comb(total: int, chosen: int) -> float:
    return lgamma(total + 1) - lgamma(chosen + 1) - lgamma(total - chosen + 1)
