"""Every rule at every run of a series: what fresh pairs say of it there, and where it appears and vanishes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffbehav.records import canonical_json
from diffbehav.report.counts import MEASURES, counts
from diffbehav.report.factors import Factor, read_factors
from diffbehav.report.findings import Finding, read_findings
from diffbehav.report.query import Query, querying, read_facts
from diffbehav.report.rule_levels import allowed
from diffbehav.report.sentinels import Sentinel, read_sentinels
from diffbehav.stats.intervals import clopper_pearson

Rule = Mapping[str, Any]
Cell = Mapping[str, Any]
Key = tuple[str, str]
"""Canonical JSON of a rule, and what it was flagged by: a run may find one rule by both measures."""
LEVEL = 0.95
MOST_RULES = 500
SURE = ("CONFIRMED", "NOT CONFIRMED")
LEAST_DECIDED = ("NOT TESTED", "INCONCLUSIVE", "NOT CONFIRMED", "CONFIRMED")
NOT_LISTED = "not listed: no fresh pairs were asked"
SCANNED = "listed by the scan alone: no fresh pairs were asked"
NUMBERS = (
    "pairs", "rate_inside", "rate_inside_low", "rate_inside_high", "rate_outside", "effect", "effect_low",
    "effect_high",
)  # fmt: skip
SCREENED = ("n", "flagged", "low", "high", "max_score")
UNMEASURED = (0, 0, None, None, None)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a series, as its database has it."""

    label: str
    facts: Mapping[str, Any]
    factors: tuple[Factor, ...]
    findings: Mapping[Key, Finding]
    sentinels: Sequence[Sentinel]
    database: Path | None
    """None where the run was not measured; it then has no findings and no factors."""
    reason: str | None = None
    """Why it was not measured."""


def read_run(label: str, database: Path) -> Run:
    """What rules are followed by."""
    with querying(database) as query:
        facts = read_facts(query, database)
        findings: dict[Key, Finding] = {}
        for each in read_findings(query):
            findings.setdefault((canonical_json(each.rule), each.flagged_by), each)
        return Run(label, facts, read_factors(query), findings, read_sentinels(query), database)


def rules_over(runs: Sequence[Run], *, most: int = MOST_RULES) -> list[dict[str, Any]]:
    """The rules of all runs, at most so many, those confirmed anywhere first, then the best of every run.

    Each has a cell per run: its status, on fresh pairs alone, or NOT TESTED with the reason; beside it the screen's
    share.
    """
    rules = dict(_in_order(runs, most))
    prints = _fingerprints(runs)
    columns = [_cells(run, rules, prints) for run in runs]
    found = []
    for key, cells in zip(rules, zip(*columns, strict=True), strict=True):
        known = [finding for run in runs if (finding := run.findings.get(key))]
        found.append(
            {
                "rule": dict(rules[key]),
                "kind": known[0].kind,
                "fingerprint": known[0].fingerprint,
                "flagged_by": known[0].flagged_by,
                **changes(cells),
                "cells": list(cells),
            }
        )
    return found


def changes(cells: Sequence[Cell]) -> dict[str, Any]:
    """First and last run in which a rule is CONFIRMED, and between which runs it appears and vanishes.

    A change has a run on both sides whose fresh pairs decided; those in between, `undecided`, did not.
    """
    decided = [cell for cell in cells if cell["status"] in SURE]
    confirmed = [cell["run"] for cell in decided if cell["status"] == "CONFIRMED"]
    places = {cell["run"]: place for place, cell in enumerate(cells)}
    turns = []
    for before, after in zip(decided, decided[1:], strict=False):
        if before["status"] != after["status"]:
            between = cells[places[before["run"]] + 1 : places[after["run"]]]
            turns.append(
                {
                    "change": "appears" if after["status"] == "CONFIRMED" else "vanishes",
                    "after": before["run"],
                    "by": after["run"],
                    "undecided": [cell["run"] for cell in between],
                    "apart": _apart(before, after),
                }
            )
    return {
        "first_confirmed": confirmed[0] if confirmed else None,
        "last_confirmed": confirmed[-1] if confirmed else None,
        "changes": turns,
    }


def _apart(before: Cell, after: Cell) -> bool:
    """Whether the 95 % confidence sequences of the two effects do not meet."""
    return bool(before["effect_high"] < after["effect_low"] or after["effect_high"] < before["effect_low"])


def _in_order(runs: Sequence[Run], most: int) -> Iterator[tuple[Key, Rule]]:
    ranked: dict[Key, tuple[bool, int, int]] = {}
    rules: dict[Key, Rule] = {}
    for place, run in enumerate(runs):
        for rank, (key, finding) in enumerate(run.findings.items()):
            rules.setdefault(key, finding.rule)
            unsure = min(finding.status != "CONFIRMED", ranked.get(key, (True,))[0])
            ranked[key] = (unsure, *min((rank, place), ranked.get(key, (True, rank, place))[1:]))
    for key in sorted(rules, key=ranked.__getitem__)[:most]:
        yield key, rules[key]


def _fingerprints(runs: Sequence[Run]) -> Mapping[Key, Collection[str]]:
    """All that a rule has in the runs: the kind of difference, which is part of it, may change."""
    found: dict[Key, set[str]] = {}
    for run in runs:
        for key, finding in run.findings.items():
            found.setdefault(key, set()).add(finding.fingerprint)
    return found


def _cells(
    run: Run, rules: Mapping[Key, Rule], prints: Mapping[Key, Collection[str]]
) -> list[dict[str, Any]]:  # fmt: skip
    if run.database is None:
        nothing = {"run": run.label, "status": "NOT TESTED", "reason": run.reason, **dict.fromkeys(NUMBERS)}
        return [nothing | {"screen": dict(zip(SCREENED, UNMEASURED, strict=True))} for _ in rules]
    with querying(run.database) as query:
        return [
            _tested(run, run.findings.get(key), _sentinel(run, key, prints)) | {"screen": _screened(run, rule, query)}
            for key, rule in rules.items()
        ]


def _sentinel(run: Run, key: Key, prints: Mapping[Key, Collection[str]]) -> Sentinel | None:
    """What asked a rule again, unless its fingerprint is known of the other measure alone; of two the less decided."""
    others = {each for other, of in prints.items() if other[0] == key[0] for each in of} - set(prints[key])
    asked = [each for each in run.sentinels if canonical_json(each.rule) == key[0] and each.fingerprint not in others]
    return min(asked, key=lambda each: LEAST_DECIDED.index(each.status), default=None)


def _tested(run: Run, finding: Finding | None, sentinel: Sentinel | None) -> dict[str, Any]:
    cell: dict[str, Any] = {"run": run.label}
    if finding is not None and finding.status != "NOT TESTED":
        return cell | {
            "status": finding.status, "reason": None, "pairs": finding.n,
            **{name: getattr(finding, name) for name in NUMBERS[1:]},
        }  # fmt: skip
    if sentinel is not None and sentinel.pairs and sentinel.rate_inside is not None:
        low, high = clopper_pearson(round(sentinel.rate_inside * sentinel.pairs), sentinel.pairs, level=LEVEL)
        ends = {"rate_inside_low": float(low), "rate_inside_high": float(high)}
        numbers = {name: getattr(sentinel, name) for name in NUMBERS if name not in ends}
        return cell | {"status": sentinel.status, "reason": None, **numbers, **ends}
    listed = NOT_LISTED if finding is None else finding.reason or SCANNED
    reason = listed if sentinel is None else sentinel.reason
    return cell | {"status": "NOT TESTED", "reason": reason, **dict.fromkeys(NUMBERS)}


def _screened(run: Run, rule: Rule, query: Query) -> dict[str, Any]:
    """n, flagged, low, high, max_score of the screen inside a rule; n = 0 where the run has no such factor."""
    levels = {factor.name: [level.name for level in factor.levels] for factor in run.factors}
    if not rule.keys() <= levels.keys():
        return dict(zip(SCREENED, UNMEASURED, strict=True))
    filters = {name: allowed(clause, levels[name]) for name, clause in rule.items()}
    row = counts(query, (), filters=filters, measure=MEASURES["flagged"]).row(0, named=True)
    return {name: row[name] for name in SCREENED}
