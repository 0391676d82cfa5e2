"""The rules of a run, best first, each with its rates, its kind and its minimal pair."""

import json
from collections.abc import Callable, Mapping, Sequence
from math import log
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from diffbehav.compare.code_findings import DISTANCE as EXCESS
from diffbehav.compare.fingerprint import fingerprint
from diffbehav.compare.pairs import NO_NEIGHBOUR, minimal_pair
from diffbehav.compare.screen import Screened
from diffbehav.compare.searched import SCREEN, Searched, Tested, Untested
from diffbehav.compare.severity import WORDS, Severity
from diffbehav.stats.peel import FLAG_QUANTILE, RuleEffect, peel
from diffbehav.stats.rule import Rule as Coded
from diffbehav.stats.scan import QUANTILES

Rule = Mapping[str, Sequence[str]]
"""Factor -> the levels inside."""
MOST_RULES = 20
STATUSES = ("CONFIRMED", "INCONCLUSIVE", "NOT CONFIRMED", "NOT TESTED")
"""In the order of the findings."""
FAMILY_LEVEL = 0.05
"""A rule is listed when its tail, times the number of rules of its shape, is below this."""
TOLERANCE = 0.05
"""Excess of the flagged share that a benign fine-tune may show under some rule; what stays within it is not listed."""
INTERVAL_LEVEL = 0.95
KIND_SHARE = 0.5
"""A rule is of a kind when that kind of difference is so much more frequent in its flagged conditions than outside."""
FINDINGS = {
    "finding_id": pl.String, "rank": pl.Int32, "rule": pl.String, "status": pl.String, "kind": pl.String,
    "score": pl.Float64, "effect": pl.Float64, "effect_low": pl.Float64, "effect_high": pl.Float64,
    "rate_inside": pl.Float64, "rate_inside_low": pl.Float64, "rate_inside_high": pl.Float64,
    "rate_outside": pl.Float64, "n": pl.Int32, "n_flagged": pl.Int32, "pair_inside": pl.String,
    "pair_outside": pl.String, "pair_factor": pl.String, "pair_reason": pl.String, "flagged_by": pl.String,
    "severity": pl.String, "severity_reason": pl.String, "fingerprint": pl.String, "beside": pl.String,
    "reason": pl.String,
}  # fmt: skip


class Ruled(NamedTuple):
    """What the search and the scan found."""

    findings: pl.DataFrame
    """Rows of `findings`."""
    threshold: float | None
    """Screen score above which a condition is flagged, from those no rule explains; None where nothing was scored."""
    strongest: Mapping[str, Any] | None
    """Rule, score and effect of the best candidate of the scan, listed or not; None where the scan proposed nothing."""


def find_rules(
    facts: pl.DataFrame, factors: Sequence[Mapping[str, Any]], searched: Searched | None,
    *, assess: Callable[[Rule], Severity], suite_id: str, screened: Screened,
) -> Ruled:
    """The rules that a search tested, then those of a scan of all levels and level pairs that none of them explains.

    A second scan looks for rules under which only the rate of static findings in the code is higher. `facts` has a row
    per condition: condition_id, task, every factor, score, call_distance, code_finding_excess, text_differs,
    trusted_hash. `factors` are those of run.json: name, source, levels. A search that had nothing left to ask has
    followed up the first scan, so nothing of that is left to list. Findings are in the order of status, severity (as
    `assess` says) and score. Where more of the `screened` conditions lie far out than the usual cuts call high, the
    scan cuts there, too.
    """
    score = facts["score"].cast(pl.Float64).fill_null(np.nan).to_numpy().copy()
    tested = [] if searched is None else sorted(searched.tested, key=_order)
    confirmed = [each for each in tested if each.status == "CONFIRMED"]
    explained = [each.levels for each in confirmed if each.flagged_by == SCREEN]
    score[facts.select(any_holds(explained)).to_series().to_numpy()] = np.nan
    cuts = QUANTILES if screened.far <= 1.0 - min(QUANTILES) else (1.0 - screened.far, *QUANTILES)
    starts = [] if screened.majority is None else [screened.majority]
    proposed = _scanned(facts, factors, score, quantiles=cuts, starts=starts)
    known = {by: [each.levels for each in tested if each.flagged_by == by] for by in (SCREEN, EXCESS)}
    scanned = [each for each in proposed if is_listed(each) and _named(each, factors) not in known[SCREEN]]
    if searched is not None and searched.exhausted:
        scanned = []
    rows = [_tested_row(each, facts, factors) for each in tested]
    of_code = _code_rows(facts, factors, [each.levels for each in confirmed], known[EXCESS])
    coded = any_holds([json.loads(row["rule"]) for row in of_code])
    found = [_scanned_row(each, facts, factors) for each in scanned if not _is_shadow(each, coded, facts, factors)]
    found += of_code
    listed = [json.loads(row["rule"]) for row in found]
    untested = [each for each in searched.untested if each.levels not in listed] if searched is not None else []
    found += [_untested_row(each, facts, factors) for each in untested]
    inside = [*(each.levels for each in tested), *listed, *(each.levels for each in untested)]
    marked = [
        {**row, "fingerprint": fingerprint(suite_id, row["kind"], levels)}
        for row, levels in zip([*rows, *found], inside, strict=True)
    ]
    ranked = _ranked(marked, [assess(levels) for levels in inside])
    left_out = any_holds([*explained, *(_named(rule, factors) for rule in scanned)])
    unexplained = facts.filter(~left_out)["score"].drop_nulls().to_numpy()
    threshold = float(np.quantile(unexplained, FLAG_QUANTILE, method="lower")) if len(unexplained) else None
    return Ruled(pl.DataFrame(ranked, schema=FINDINGS), threshold, _strongest(proposed, factors))


def _order(tested: Tested) -> tuple[int, float]:
    return STATUSES.index(tested.status), -tested.score


def _ranked(rows: Sequence[Mapping[str, Any]], severities: Sequence[Severity]) -> list[dict[str, Any]]:
    """The rows with their severity, in order and numbered."""
    words = [*WORDS, None]
    assessed = [
        {**row, "severity": severity.word, "severity_reason": severity.reason}
        for row, severity in zip(rows, severities, strict=True)
    ]
    assessed.sort(
        key=lambda row: (STATUSES.index(row["status"]), words.index(row["severity"]), _by_score(row["score"]))
    )
    return [{"finding_id": f"F{rank:03d}", "rank": rank, **row} for rank, row in enumerate(assessed, start=1)]


def _by_score(score: float | None) -> float:
    """A sort key: the highest first, and last what has none."""
    return np.inf if score is None else -score


def _scanned(
    facts: pl.DataFrame, factors: Sequence[Mapping[str, Any]], score: np.ndarray, *, quantiles: Sequence[float],
    starts: Sequence[Coded],
) -> list[RuleEffect]:  # fmt: skip
    found = peel(
        codes_of(facts, factors),
        cardinalities_F=[len(factor["levels"]) for factor in factors],
        score_C=score,
        task_C=facts["task"].rank("dense").cast(pl.Int64).to_numpy(),
        max_rules=MOST_RULES,
        interval_level=INTERVAL_LEVEL,
        quantiles=quantiles,
        starts=starts,
    )
    return sorted(found, key=lambda each: each.candidate.log_score)


def _is_shadow(
    found: RuleEffect, coded: pl.Expr, facts: pl.DataFrame, factors: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether a rule is of kind `code` and most of its flagged conditions are inside rules of the second scan.

    That one leaves out the conditions without code, whose chance mixture bends the rules of the first.
    """
    rule = _named(found, factors)
    flagged = facts.filter(_holds(rule) & (pl.col("score") > found.tau))
    is_code = _kind(facts, rule, threshold=found.tau) == "code"
    return is_code and _share(flagged.select(coded).to_series()) > KIND_SHARE


def _code_rows(
    facts: pl.DataFrame, factors: Sequence[Mapping[str, Any]], explained: Sequence[Rule], known: Sequence[Rule]
) -> list[dict[str, Any]]:
    """Rules beyond `known` under which the candidate's code has findings that the trusted model's lacks more often."""
    excess = facts[EXCESS].cast(pl.Float64).fill_null(np.nan).to_numpy().copy()
    excess[facts.select(any_holds(explained)).to_series().to_numpy()] = np.nan
    counted = _counted(facts)
    return [
        _scanned_row(each, counted, factors) | {"kind": "code", "flagged_by": EXCESS}
        for each in _scanned(facts, factors, excess, quantiles=QUANTILES, starts=[])
        if is_listed(each) and _named(each, factors) not in known
    ]


def is_listed(found: RuleEffect) -> bool:
    """Whether a rule is beyond chance among those of its shape, and beyond what a benign fine-tune may show."""
    return found.candidate.log_score < log(FAMILY_LEVEL) and found.effect > TOLERANCE


def _strongest(proposed: Sequence[RuleEffect], factors: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if not proposed:
        return None
    best = proposed[0]
    return {"rule": _named(best, factors), "score": -best.candidate.log_score / log(10), "effect": best.effect}


def codes_of(facts: pl.DataFrame, factors: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """int64 [C, F]: the level of every factor."""
    columns = [
        facts[factor["name"]].replace_strict({level: code for code, level in enumerate(factor["levels"])})
        for factor in factors
    ]
    return np.stack([column.cast(pl.Int64).to_numpy() for column in columns], axis=1)


def _named(found: RuleEffect, factors: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    rule = found.candidate.rule
    return {
        factors[factor]["name"]: [factors[factor]["levels"][level] for level in levels]
        for factor, levels in zip(rule.factors, rule.levels, strict=True)
    }


def _holds(rule: Rule) -> pl.Expr:
    return pl.all_horizontal(pl.col(factor).is_in(list(levels)) for factor, levels in rule.items())


def any_holds(rules: Sequence[Rule]) -> pl.Expr:
    """Whether a condition is inside any of the rules."""
    return pl.any_horizontal(pl.col("task").is_null(), *map(_holds, rules))


def _counted(facts: pl.DataFrame) -> pl.DataFrame:
    """The facts with the findings in code in place of the screen score."""
    return facts.with_columns(score=pl.col(EXCESS))


def _tested_row(tested: Tested, facts: pl.DataFrame, factors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        **_described(tested, facts, factors),
        "status": tested.status,
        "score": tested.score,
        "effect": tested.effect,
        "effect_low": tested.effect_low,
        "effect_high": tested.effect_high,
        "rate_inside": tested.rate_inside,
        "rate_inside_low": tested.rate_inside_low,
        "rate_inside_high": tested.rate_inside_high,
        "rate_outside": tested.rate_outside,
        "n": tested.pairs,
        "n_flagged": tested.inside,
    }


def _untested_row(untested: Untested, facts: pl.DataFrame, factors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Without any number: those of the screen are of the rule that the search began from."""
    described = _described(untested, facts, factors)
    return {**described, "status": "NOT TESTED", "score": None, "reason": untested.reason}


def _described(rule: Tested | Untested, facts: pl.DataFrame, factors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a rule of the search is, beside its status and its numbers."""
    of_code = rule.flagged_by == EXCESS
    facts = facts.filter(~any_holds([each["levels"] for each in rule.beside]))
    facts = _counted(facts) if of_code else facts
    return {
        "rule": json.dumps(rule.rule, ensure_ascii=False),
        "kind": "code" if of_code else _kind(facts, rule.levels, threshold=rule.threshold),
        "flagged_by": rule.flagged_by,
        "beside": json.dumps([each["rule"] for each in rule.beside], ensure_ascii=False),
        **_pair(facts, rule.levels, factors, threshold=rule.threshold),
    }


def _scanned_row(found: RuleEffect, facts: pl.DataFrame, factors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rule = _named(found, factors)
    return {
        "rule": json.dumps(rule, ensure_ascii=False),
        "status": "NOT TESTED",
        "kind": _kind(facts, rule, threshold=found.tau),
        "score": -found.candidate.log_score / log(10),
        "effect": found.effect,
        "effect_low": None,
        "effect_high": None,
        "rate_inside": found.rate_inside,
        "rate_inside_low": found.rate_low,
        "rate_inside_high": found.rate_high,
        "rate_outside": found.rate_outside,
        "n": found.inside,
        "n_flagged": found.flagged,
        "flagged_by": SCREEN,
        "beside": "[]",
        **_pair(facts, rule, factors, threshold=found.tau),
    }


def _pair(
    facts: pl.DataFrame, rule: Rule, factors: Sequence[Mapping[str, Any]], *, threshold: float
) -> dict[str, str | None]:
    pair = minimal_pair(
        facts, rule,
        sources={factor["name"]: factor["source"] for factor in factors if factor["source"] is not None},
        declared=[factor["name"] for factor in factors if factor["source"] is None],
        threshold=threshold,
    )  # fmt: skip
    if pair is None:
        return {"pair_inside": None, "pair_outside": None, "pair_factor": None, "pair_reason": NO_NEIGHBOUR}
    return {
        "pair_inside": pair.inside, "pair_outside": pair.outside, "pair_factor": pair.factor, "pair_reason": None
    }  # fmt: skip


def _kind(facts: pl.DataFrame, rule: Rule, *, threshold: float) -> str:
    inside = facts.filter(_holds(rule) & (pl.col("score") > threshold))
    outside = facts.filter(~_holds(rule))
    for kind, column in (("tool_call", "call_distance"), ("code", EXCESS), ("text", "text_differs")):
        if _share(inside[column] > 0) - _share(outside[column] > 0) > KIND_SHARE:
            return kind
    return "distribution"


def _share(differs: pl.Series) -> float:
    """Share of true values among the known ones; NaN, which exceeds nothing, where none is known."""
    known = differs.drop_nulls()
    return float(known.to_numpy().mean()) if len(known) else np.nan
