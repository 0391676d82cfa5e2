"""What the clauses of a rule allow, and which conditions it holds in."""

from collections.abc import Mapping, Sequence
from typing import Any

from diffbehav.report.factors import Factor
from diffbehav.store import quoted

Inside = tuple[tuple[str, tuple[str, ...]], ...]
"""A rule as factors and the levels inside, both sorted."""


def allowed(clause: Any, known: Sequence[str]) -> list[str]:
    """The levels among the `known` ones that a clause allows: a list, {"from", "to"} or {"absent"}."""
    if isinstance(clause, Mapping):
        if "from" in clause:
            return [level for level in known if clause["from"] <= level <= clause["to"]]
        return [level for level in known if level not in clause["absent"]]
    return list(clause)


def inside(rule: Mapping[str, Any], factors: Sequence[Factor]) -> Inside | None:
    """The same for two spellings of one rule; None where it is over something that is no factor."""
    known = {factor.name: [level.name for level in factor.levels] for factor in factors}
    if not rule.keys() <= known.keys():
        return None
    return tuple(sorted((name, tuple(sorted(allowed(clause, known[name])))) for name, clause in rule.items()))


def where(rule: Inside, values: dict[str, Any]) -> str:
    """SQL that is true inside the rule; its parameters are added to `values`."""
    parts = []
    for name, levels in rule:
        parameter = f"levels_{len(values)}"
        values[parameter] = list(levels)
        parts.append(f"list_contains(${parameter}, {quoted(name)})")
    return " AND ".join(parts)
