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
SCREEN = "screen_score"
"""The usual reason why a condition is flagged: it scores above a threshold."""


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
    flagged_by: str
    """What a condition fired by: `screen_score`, or `code_finding_excess`."""
    beside: Sequence[Mapping[str, Any]] = ()
    """Rules, each with its `rule` and `levels`, outside of which it was tested."""


@dataclass(frozen=True, slots=True)
class Untested:
    """One rule that the search came to and of which no pair was asked or measured."""

    rule: Mapping[str, Any]
    levels: Mapping[str, Sequence[str]]
    threshold: float
    flagged_by: str
    beside: Sequence[Mapping[str, Any]]
    """These five as of a `Tested`."""
    reason: str


@dataclass(frozen=True, slots=True)
class Sentinel:
    """A rule that earlier runs confirmed, asked before anything else."""

    rule: Mapping[str, Any]
    """As the earlier run shows it."""
    fingerprint: str
    runs: Sequence[str]
    """Ids of the runs that confirmed it."""
    status: str
    reason: str | None
    """Why it was not tested; None where it was."""
    tested: Tested | None


@dataclass(frozen=True, slots=True)
class Searched:
    """A finished search."""

    tested: Sequence[Tested]
    """Of the sentinels those alone that were confirmed."""
    exhausted: bool
    """Whether it had nothing left to ask; False where its budget ended it, or where it saw another screen."""
    delta: float
    level: float
    calls: int
    """Conditions that it was allowed to ask."""
    calls_spent: int
    unmeasured: int
    """Conditions it asked that have no score and so counted as not firing."""
    sentinels: Sequence[Sentinel] = ()
    wide: int = 0
    """Further contexts that were scored with stored answers before it, and not asked."""
    screened: int = 0
    """Measured conditions of the run as the search saw it."""
    measured: int = 0
    """Measured conditions of the run as it is: more, where it was collected further after the search."""
    untested: Sequence[Untested] = ()

    def facts(self) -> dict[str, Any]:
        """What table `run` keeps of it beside rules and sentinels."""
        names = ("exhausted", "delta", "level", "calls", "calls_spent", "unmeasured")
        return {name: getattr(self, name) for name in names}

    def promise(self) -> str:
        """What CONFIRMED means in this run."""
        return (
            f"Of the rules marked CONFIRMED in this run, {at_most(level=self.level, delta=self.delta)}, for tasks and "
            "contexts drawn from the declared suite"
            + (", outside of the rules that a finding names so" if any(each.beside for each in self.tested) else "")
        )


def at_most(*, level: float, delta: float) -> str:
    """What is promised of confirmed rules, both numbers in full: a rounded one would promise something else."""
    return (
        f"at most {100 * level:g} % on average have a true excess-divergence rate of at most {100 * delta:g} points "
        "over matched controls"
    )


def read_search(folder: RunFolder, *, interval_level: float, measured: int | None = None) -> Searched | None:
    """The outcome of the run's search; None where none has ended.

    The run has `measured` conditions, and the search is exhausted only if it saw them all; None: what it saw.
    """
    if not folder.search.exists():
        return None
    try:
        found = json.loads(folder.search.read_text(encoding="utf-8"))
        if found["schema"] != SCHEMA:
            raise IntegrityError(f"{folder.search}: schema is {found['schema']!r}, {SCHEMA!r} was expected")
        tested = [_tested(rule, interval_level) for rule in found["rules"] if rule["pairs"]]
        sentinels = [_sentinel(each, interval_level) for each in found["sentinels"]]
        confirmed = [each.tested for each in sentinels if each.tested is not None and each.status == "CONFIRMED"]
        return Searched(
            tested=[*tested, *confirmed],
            exhausted=not found["budget_spent"] and measured in (None, found["screened"]),
            delta=found["delta"],
            level=found["level"],
            calls=found["calls"],
            calls_spent=found["calls_spent"],
            unmeasured=found["unmeasured"],
            sentinels=sentinels,
            wide=found["wide"],
            screened=found["screened"],
            measured=found["screened"] if measured is None else measured,
            untested=[_untested(rule) for rule in found["rules"] if not rule["pairs"]],
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise IntegrityError(f"{folder.search} is damaged ({error!r}); repeat the search") from error


def _sentinel(found: Mapping[str, Any], interval_level: float) -> Sentinel:
    return Sentinel(
        rule=found["rule"],
        fingerprint=found["fingerprint"],
        runs=found["runs"],
        status=found["status"],
        reason=found["reason"],
        tested=None if found["tested"] is None else _tested(found["tested"], interval_level),
    )


def _untested(found: Mapping[str, Any]) -> Untested:
    return Untested(**{name: found[name] for name in ("rule", "levels", "threshold", "flagged_by", "beside", "reason")})


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
        flagged_by=found["flagged_by"],
        beside=found["beside"],
    )
