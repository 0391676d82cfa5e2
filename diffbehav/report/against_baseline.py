"""How a run stands against its baseline: which rules are new, and what became of those the baseline's own run had."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from diffbehav.compare.rules import INTERVAL_LEVEL, TOLERANCE
from diffbehav.report.factors import Factor
from diffbehav.report.findings import Finding
from diffbehav.report.query import Query
from diffbehav.report.rule_levels import Inside, inside, where
from diffbehav.stats.intervals import clopper_pearson

State = Literal["new", "persisting", "resolved", "undecided"]
TITLES: Mapping[State, str] = {
    "new": "found in this run, and not in the run that the baseline was pinned from",
    "persisting": "found in both",
    "resolved": f"found in the baseline's run; here it surely exceeds what is outside by {100 * TOLERANCE:g} points or "
    "less",
    "undecided": "found in the baseline's run; too few conditions here to say",
}
NOT_FOUND = (None, None)
"""Rule and status where a run has no such rule."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One rule of this run, of the baseline's run, or of both."""

    rule: Mapping[str, Any]
    state: State
    then: str | None
    """Status in the baseline's run; None where it had no such rule."""
    now: str | None
    """Status in this run; None where it does not list the rule."""
    n: int
    """Conditions of this run's screen inside the rule that have a score; of a rule that this run does not list those
    that no rule of this run holds in."""
    n_flagged: int
    rate_inside_low: float
    rate_inside_high: float
    """Exact 95 % interval. A rule of the baseline's run was fixed before these conditions were asked."""
    rate_outside: float | None
    """None where no condition outside has a score."""


@dataclass(frozen=True, slots=True)
class Against:
    """The baseline that was replayed, and every rule that it or this run has."""

    name: str
    generation: int
    digest: str
    by: str
    why: str
    at: str
    expires: str | None
    candidate: str
    """What the baseline's own run compared with it."""
    rules: Sequence[Standing]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, with how many rules are in each state."""
        counts = {state: sum(each.state == state for each in self.rules) for state in TITLES}
        return {**asdict(self), "rules": [asdict(each) for each in self.rules], "counts": counts, "titles": TITLES}


def read_against(
    query: Query, facts: Mapping[str, Any], factors: Sequence[Factor], findings: Sequence[Finding]
) -> Against | None:
    """None where the trusted side was no baseline."""
    baseline = facts.get("baseline")
    if baseline is None:
        return None
    then = _statuses(((each["rule"], each["status"]) for each in baseline["found"]["findings"]), factors)
    now = _statuses(((each.rule, each.status) for each in findings), factors)
    rules = [
        _standing(query, facts["threshold"], levels, rule, status, then.get(levels, NOT_FOUND)[1], beside=())
        for levels, (rule, status) in now.items()
    ]
    rules += [
        _standing(query, facts["threshold"], levels, rule, None, status, beside=tuple(now))
        for levels, (rule, status) in then.items()
        if levels not in now
    ]
    pinned = baseline["pinned"]
    return Against(
        baseline["name"], baseline["generation"], baseline["digest"], pinned["by"], pinned["why"], pinned["at"],
        baseline["expires"], baseline["found"]["candidate"], rules,
    )  # fmt: skip


def _statuses(
    found: Iterable[tuple[Mapping[str, Any], str]], factors: Sequence[Factor]
) -> dict[Inside, tuple[Mapping[str, Any], str]]:
    """Every rule with its first status, which is the best: two measures may find one."""
    first: dict[Inside, tuple[Mapping[str, Any], str]] = {}
    for rule, status in found:
        if (levels := inside(rule, factors)) is not None:
            first.setdefault(levels, (rule, status))
    return first


def _standing(
    query: Query, threshold: float | None, levels: Inside, rule: Mapping[str, Any], now: str | None, then: str | None,
    *, beside: Sequence[Inside],
) -> Standing:  # fmt: skip
    """Counted without the conditions inside the rules of `beside`: they are flagged for another reason."""
    values: dict[str, Any] = {"threshold": threshold}
    holds, *others = [where(each, values) for each in (levels, *beside)]
    left = "".join(f" AND NOT ({each})" for each in others)
    counted = query(
        f"SELECT {holds}, count(*), count(*) FILTER (score > CAST($threshold AS DOUBLE)) FROM conditions "
        f"JOIN (SELECT condition_id, score FROM screen) USING (condition_id) WHERE score IS NOT NULL{left} GROUP BY 1",
        **values,
    )
    counts = {bool(holding): (n, hits) for holding, n, hits in counted}
    (n, hits), (n_outside, hits_outside) = counts.get(True, (0, 0)), counts.get(False, (0, 0))
    low, high = (float(end) for end in clopper_pearson(hits, n, level=INTERVAL_LEVEL))
    outside = hits_outside / n_outside if n_outside else None
    return Standing(rule, _state(now, then, low, high, outside), then, now, n, hits, low, high, outside)


def _state(now: str | None, then: str | None, low: float, high: float, outside: float | None) -> State:
    if now is not None:
        return "new" if then is None else "persisting"
    if outside is None:
        return "undecided"
    if low > outside + TOLERANCE:
        return "persisting"
    return "resolved" if high <= outside + TOLERANCE else "undecided"
