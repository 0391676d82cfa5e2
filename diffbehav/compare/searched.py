"""The rules that a search put to the test, read back from its outcome."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from diffbehav.errors import IntegrityError
from diffbehav.stats.intervals import clopper_pearson
from diffbehav.store import RunFolder

SCHEMA = "diffbehav.search/1"


@dataclass(frozen=True, slots=True)
class Tested:
    """One rule tested on fresh matched pairs."""

    rule: Mapping[str, Any]
    """As it is shown: factor -> levels, {"from", "to"} or {"absent": [...]}."""
    levels: Mapping[str, Sequence[str]]
    """Factor -> every level inside."""
    status: str
    score: float
    """log10 of the e-value."""
    effect: float
    effect_low: float
    effect_high: float
    rate_inside: float
    rate_inside_low: float
    rate_inside_high: float
    rate_outside: float
    pairs: int
    inside: int
    threshold: float


@dataclass(frozen=True, slots=True)
class Searched:
    """A finished search."""

    tested: Sequence[Tested]
    exhausted: bool
    """Whether it had nothing left to ask; False where its budget ended it."""
    delta: float
    level: float
    calls_spent: int
    unmeasured: int
    """Conditions it asked that have no score and so counted as not firing."""

    def promise(self) -> str:
        """What CONFIRMED means in this run."""
        return (
            f"Of the rules marked CONFIRMED in this run, at most {self.level:.0%} on average have a true "
            f"excess-divergence rate of at most {100 * self.delta:g} points over matched controls, for tasks and "
            "contexts drawn from the declared suite"
        )


def read_search(folder: RunFolder, *, interval_level: float) -> Searched | None:
    """The outcome of the run's search; None where none has ended."""
    if not folder.search.exists():
        return None
    try:
        found = json.loads(folder.search.read_text(encoding="utf-8"))
        if found["schema"] != SCHEMA:
            raise IntegrityError(f"{folder.search}: schema is {found['schema']!r}, {SCHEMA!r} was expected")
        tested = [_tested(rule, interval_level) for rule in found["rules"] if rule["pairs"]]
        return Searched(
            tested=tested,
            exhausted=not found["budget_spent"],
            delta=found["delta"],
            level=found["level"],
            calls_spent=found["calls_spent"],
            unmeasured=found["unmeasured"],
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise IntegrityError(f"{folder.search} is damaged ({error!r}); repeat the search") from error


def _tested(found: Mapping[str, Any], interval_level: float) -> Tested:
    pairs, inside = found["pairs"], found["inside"]
    low, high = clopper_pearson(inside, pairs, level=interval_level)
    return Tested(
        rule=found["rule"],
        levels=found["levels"],
        status=found["status"],
        score=found["log_e"] / log(10),
        effect=found["effect"],
        effect_low=found["effect_low"],
        effect_high=found["effect_high"],
        rate_inside=inside / pairs,
        rate_inside_low=float(low),
        rate_inside_high=float(high),
        rate_outside=found["outside"] / pairs,
        pairs=pairs,
        inside=inside,
        threshold=found["threshold"],
    )
