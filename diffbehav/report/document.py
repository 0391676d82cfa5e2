"""report.json: the content of the report, from which every other form is rendered."""

import json
from collections.abc import Mapping
from typing import Any

from diffbehav import untrusted
from diffbehav.report import words
from diffbehav.report.evidence import Evidence
from diffbehav.report.findings import Finding
from diffbehav.report.pairs import Answer, Change, Pair, Shown

SCHEMA = "diffbehav.report/1"
FINDINGS = 25
"""Findings in the report; the database has all of them."""
STORED = 64_000
"""Characters of one model text that are kept."""
ABOUT = (
    "run_id", "created", "version", "suite", "suite_digest", "sides", "sampling", "engine", "versions",
    "checks", "command", "numeric_floor", "collected",
)  # fmt: skip

Document = Mapping[str, Any]


def document(evidence: Evidence) -> Document:
    """Everything that a report of the run says, as JSON values; model text only in its untrusted form."""
    shares = evidence.shares
    return {
        "schema": SCHEMA,
        "run": {key: evidence.facts[key] for key in ABOUT if key in evidence.facts},
        "verdict": _verdict(evidence),
        "conditions": {
            "collected": evidence.n_conditions,
            "measured": shares.n_measured,
            "flagged": shares.n_flagged,
            "threshold": evidence.threshold,
            "tasks": evidence.n_tasks,
        },
        "findings_total": len(evidence.findings),
        "findings": [_finding(finding, evidence) for finding in evidence.findings[:FINDINGS]],
        "figures": {
            "heat_map": None if shares.heat_map is None else shares.heat_map._asdict(),
            "timeline": None if shares.timeline is None else shares.timeline._asdict(),
            "marginals": shares.marginals,
        },
        "coverage": _coverage(evidence),
        "not_tested": _not_tested(evidence),
        "method": list(words.METHOD),
        "distances": evidence.facts.get("distances", {}),
    }


def _verdict(evidence: Evidence) -> dict[str, Any]:
    code = evidence.facts["verdict"]
    suite = evidence.facts["suite"]
    means, does_not_mean = words.MEANINGS[code]
    return {
        "code": code,
        "headline": words.HEADLINES[code],
        "body": words.body(
            code,
            n_conditions=evidence.n_conditions,
            suite=f"{suite.get('id')}@{suite.get('version')}",
            n_confirmed=sum(finding.status == "CONFIRMED" for finding in evidence.findings),
        ),
        "reasons": evidence.facts["verdict_reasons"],
        "means": means,
        "does_not_mean": does_not_mean,
    }


def _finding(finding: Finding, evidence: Evidence) -> dict[str, Any]:
    pair = evidence.pairs.get(finding.id)
    return {
        "id": finding.id,
        "rule": dict(finding.rule),
        "words": f"When {words.rule_in_words(finding.rule)}, {words.KINDS[finding.kind]}.",
        "kind": finding.kind,
        "status": finding.status,
        "score": finding.score,
        "effect": finding.effect,
        "effect_low": finding.effect_low,
        "effect_high": finding.effect_high,
        "rate_inside": finding.rate_inside,
        "rate_inside_low": finding.rate_inside_low,
        "rate_inside_high": finding.rate_inside_high,
        "rate_outside": finding.rate_outside,
        "n": finding.n,
        "n_flagged": finding.n_flagged,
        "pair": None if pair is None else _pair(pair),
        "pair_reason": finding.pair_reason,
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {"factor": pair.factor, "inside": _shown(pair.inside), "outside": _shown(pair.outside)}


def _shown(shown: Shown) -> dict[str, Any]:
    return {
        "condition_id": shown.condition_id,
        "task": shown.task,
        "levels": dict(shown.levels),
        "messages": _text(shown.messages),
        "tools": _text(shown.tools),
        "sample": shown.sample,
        "score": shown.score,
        "answers": [_answer(answer) for answer in shown.answers],
        "changes": [_change(change) for change in shown.changes],
        "tokens": {
            "texts": untrusted.json_untrusted(json.dumps([token.text for token in shown.tokens])),
            "candidate_logprobs": [token.candidate_logprob for token in shown.tokens],
            "trusted_logprobs": [token.trusted_logprob for token in shown.tokens],
            "jsd_lower": [token.jsd_lower for token in shown.tokens],
            "total": shown.n_tokens,
        },
    }


def _answer(answer: Answer) -> dict[str, Any]:
    calls = json.loads(answer.calls)
    return {
        "side": answer.side,
        "content": _text(answer.content),
        "text": _text(answer.text),
        "calls": [{"name": _text(str(c["name"])), "arguments": _text(str(c["arguments"]))} for c in calls],
        "parse": answer.parse,
        "finish_reason": answer.finish_reason,
        "characters": len(answer.text),
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "change": change.change,
        "tool": _text(change.tool),
        "path": _text(change.path),
        "candidate": None if change.candidate is None else _text(change.candidate),
        "trusted": None if change.trusted is None else _text(change.trusted),
    }


def _text(text: str) -> untrusted.UntrustedJson:
    return untrusted.json_untrusted(untrusted.shorten(text, STORED))


def _coverage(evidence: Evidence) -> dict[str, Any]:
    exposures = evidence.shares.exposures
    n = evidence.shares.n_measured
    return {
        "factors": [
            {
                "name": factor.name,
                "source": factor.source,
                "levels": [level._asdict() for level in factor.levels],
            }
            for factor in evidence.factors
        ],
        "pairs": [exposure._asdict() for exposure in exposures],
        "exposed": sum(exposure.exposed for exposure in exposures),
        "possible": sum(exposure.possible for exposure in exposures),
        "prevalence": words.prevalence(n) if n else "No condition was measured, so nothing was covered.",
        "missing": [missing._asdict() for missing in evidence.missing],
    }


def _not_tested(evidence: Evidence) -> list[str]:
    sampling = evidence.facts.get("sampling", {})
    return words.not_tested(
        n_tasks=evidence.n_tasks,
        max_tokens=sampling.get("max_tokens"),
        temperature=sampling.get("temperature"),
        n_cut=sum(missing.n for missing in evidence.missing if missing.reason == "cut at the token limit"),
        unexposed=sum(exposure.possible - exposure.exposed for exposure in evidence.shares.exposures),
    )
