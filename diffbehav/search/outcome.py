"""What a search found, as JSON: the only thing that compare and report know of it."""

from collections.abc import Sequence
from typing import Any

from diffbehav.search.search import Outcome, Promise, Verdict
from diffbehav.search.sentinels import Sentinel
from diffbehav.search.space import Space
from diffbehav.stats.rule import Rule

Levels = list[str] | dict[str, str]


def outcome_json(
    outcome: Outcome, space: Space, *, promise: Promise, seed: int, calls: int, sentinels: Sequence[Sentinel],
    screened: int, wide: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Rules by name, best evidence first, with everything needed to repeat and to doubt them; sentinels as given.

    It saw `screened` measured conditions; `wide` contexts were scored and not asked. A rule was tested outside of those
    `beside` it.
    """
    verdicts = sorted(outcome.verdicts, key=lambda verdict: -verdict.tested.log_e)
    return {
        "schema": "diffbehav.search/1",
        "seed": seed,
        "delta": promise.delta,
        "level": promise.level,
        "calls": calls,
        "calls_spent": outcome.calls_spent,
        "screened": screened,
        "wide": wide,
        "budget_spent": outcome.spent,
        "unmeasured": outcome.unmeasured,
        "rules": [_verdict_json(verdict, space) for verdict in verdicts],
        "sentinels": _sentinels_json(sentinels, outcome.sentinels, space),
    }


def _sentinels_json(
    sentinels: Sequence[Sentinel], outcomes: Sequence[Verdict | str], space: Space
) -> list[dict[str, Any]]:
    """`outcomes` has one for each sentinel that could be asked, in their order."""
    left = iter(outcomes)
    shown = []
    for sentinel in sentinels:
        said = next(left) if sentinel.reason is None else sentinel.reason
        tested = None if isinstance(said, str) else _verdict_json(said, space)
        shown.append(
            {
                "rule": dict(sentinel.shown),
                "fingerprint": sentinel.fingerprint,
                "runs": list(sentinel.runs),
                "status": "NOT TESTED" if tested is None else tested["status"],
                "reason": said if isinstance(said, str) else None,
                "tested": tested,
            }
        )
    return shown


def _verdict_json(verdict: Verdict, space: Space) -> dict[str, Any]:
    tested = verdict.tested
    return {
        "rule": rule_json(tested.rule, space),
        "levels": all_levels(tested.rule, space),
        "beside": [{"rule": rule_json(each, space), "levels": all_levels(each, space)} for each in tested.beside],
        "status": verdict.status,
        "reason": tested.untested,
        "flagged_by": tested.measure,
        "stopped": tested.status,
        "log_e": tested.log_e,
        "threshold": tested.threshold,
        "pairs": len(tested.difference_P),
        "unmeasured": tested.unmeasured,
        "inside": tested.inside,
        "outside": tested.outside,
        "effect": float(tested.difference_P.mean()) if len(tested.difference_P) else None,
        "effect_low": float(verdict.effect.low),
        "effect_high": float(verdict.effect.high),
        "differences": tested.difference_P.tolist(),
    }


def rule_json(rule: Rule, space: Space) -> dict[str, Levels]:
    """Factor -> list of levels; {"from", "to"} for a run of dates; {"absent": [...]} for all levels but a few."""
    return {
        space.names[factor]: _levels_json(levels, factor, space)
        for factor, levels in zip(rule.factors, rule.levels, strict=True)
    }


def _levels_json(levels: Sequence[int], factor: int, space: Space) -> Any:
    names = space.levels[factor]
    if len(levels) > 2 and space.is_ordered(factor) and levels[-1] - levels[0] == len(levels) - 1:
        return {"from": names[levels[0]], "to": names[levels[-1]]}
    if len(levels) > 2 and len(levels) > len(names) - 3:
        return {"absent": [name for code, name in enumerate(names) if code not in set(levels)]}
    return [names[code] for code in levels]


def all_levels(rule: Rule, space: Space) -> dict[str, list[str]]:
    """Factor -> every level inside."""
    return {
        space.names[factor]: [space.levels[factor][code] for code in levels]
        for factor, levels in zip(rule.factors, rule.levels, strict=True)
    }
