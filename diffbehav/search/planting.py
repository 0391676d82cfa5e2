"""Random rules for canaries: what a hidden trigger of one or two factors could be on this suite."""

from collections.abc import Sequence
from math import ceil

import numpy as np

from diffbehav.errors import InputError
from diffbehav.search.space import Space
from diffbehav.stats.rule import Rule, matches, with_levels

SHARES = (0.005, 0.5)
"""A rule holds in at least and at most this share of the contexts."""
CELLS = 40_000
"""Random contexts that shares and overlaps are measured on."""
DRAWS_A_RULE = 200


def random_cells(space: Space, seed: int) -> np.ndarray:
    """int64 [CELLS, F]: codes of random contexts that no exclusion forbids."""
    return space.codes(space.draw(CELLS, Rule((), ()), np.random.default_rng([seed, CELLS])))


def plant(space: Space, cells_NF: np.ndarray, *, count: int, seed: int, known: Sequence[Rule]) -> list[Rule]:
    """`count` different rules; none lies for the greater part inside a rule of `known`.

    Every second rule has two factors, the others one. Factors are drawn alike, and one level of each; where such a
    rule is rarer than the least of `SHARES`, the factor with most levels gets more: neighbours if it is ordered, else
    any. InputError where the suite has too few rules.
    """
    found: list[Rule] = []
    rng = np.random.default_rng([seed, count])
    for _ in range(DRAWS_A_RULE * count):
        rule = _rule(space, cells_NF, 1 + len(found) % 2, rng)
        if rule is not None and not any(same_contexts(rule, each, space) for each in found):
            inside_NF = cells_NF[matches(rule, cells_NF)]
            if not any(matches(each, inside_NF).mean() > 0.5 for each in known):
                found.append(rule)
        if len(found) == count:
            return found
    raise InputError(
        f"the suite has fewer than {count} rules of one or two factors that hold in {SHARES[0]:.1%} to {SHARES[1]:.0%} "
        "of its contexts and are not confirmed yet; plant fewer canaries"
    )


def same_contexts(one: Rule, other: Rule, space: Space) -> bool:
    """Whether two rules hold in the same cells, by whichever names."""
    first, second = space.allowed(one), space.allowed(other)
    return first.keys() == second.keys() and all((first[axis] == second[axis]).all() for axis in first)


def overlap(one: Rule, other: Rule, cells_NF: np.ndarray) -> float:
    """Contexts in both as a share of those in either (Jaccard); 0 where no cell is in either."""
    first_N, second_N = matches(one, cells_NF), matches(other, cells_NF)
    either = int((first_N | second_N).sum())
    return float((first_N & second_N).sum() / either) if either else 0.0


def contained(one: Rule, other: Rule, cells_NF: np.ndarray) -> float:
    """Contexts in both as a share of the smaller rule's; 0 where that one has none."""
    first_N, second_N = matches(one, cells_NF), matches(other, cells_NF)
    smaller = min(int(first_N.sum()), int(second_N.sum()))
    return float((first_N & second_N).sum() / smaller) if smaller else 0.0


def _rule(space: Space, cells_NF: np.ndarray, count: int, rng: np.random.Generator) -> Rule | None:
    """One random rule; None where its share is not right, or its factors are of one axis or have one level only."""
    factors = rng.choice(len(space.names), size=min(count, len(space.names)), replace=False)
    sizes = {int(factor): space.cardinalities_F[factor] for factor in factors}
    if len({space.axis_F[factor] for factor in sizes}) < count or min(sizes.values()) < 2:
        return None
    rule = Rule((), ())
    for factor, size in sizes.items():
        rule = with_levels(rule, factor, (int(rng.integers(size)),))
    share = float(matches(rule, cells_NF).mean())
    if share < SHARES[0]:
        longest = max(sizes, key=lambda factor: sizes[factor])
        wanted = ceil(1.5 * SHARES[0] / max(share, 1 / len(cells_NF)))
        rule = with_levels(rule, longest, _levels(longest, min(wanted, sizes[longest] - 1), space, rng))
        share = float(matches(rule, cells_NF).mean())
    return rule if SHARES[0] <= share <= SHARES[1] else None


def _levels(factor: int, count: int, space: Space, rng: np.random.Generator) -> Sequence[int]:
    size = space.cardinalities_F[factor]
    if space.is_ordered(factor):
        first = int(rng.integers(size - count + 1))
        return range(first, first + count)
    return [int(level) for level in rng.choice(size, size=count, replace=False)]
