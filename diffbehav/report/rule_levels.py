"""What the clauses of a rule allow."""

from collections.abc import Mapping, Sequence
from typing import Any


def allowed(clause: Any, known: Sequence[str]) -> list[str]:
    """The levels among the `known` ones that a clause allows: a list, {"from", "to"} or {"absent"}."""
    if isinstance(clause, Mapping):
        if "from" in clause:
            return [level for level in known if clause["from"] <= level <= clause["to"]]
        return [level for level in known if level not in clause["absent"]]
    return list(clause)
