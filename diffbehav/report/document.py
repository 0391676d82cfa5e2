"""report.json: the content of the report, from which every other form is rendered."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from diffbehav import untrusted
from diffbehav.distance.said_did import HEURISTIC as SAID_DID
from diffbehav.report import words
from diffbehav.report.code_rates import Rate, Weakness
from diffbehav.report.commands import can_replay, replay_finding
from diffbehav.report.coverage import Coverage
from diffbehav.report.evidence import Evidence
from diffbehav.report.findings import Finding
from diffbehav.report.pairs import Answer, Change, Pair, Shown, Violation, WorldChange
from diffbehav.report.taxonomy import taxonomy
from diffbehav.report.untested import as_json

SCHEMA = "diffbehav.report/1"
FINDINGS = 1_000
"""Findings in the document; the database has all of them."""
STORED = 64_000
"""Characters of one model text that are kept."""
ABOUT = (
    "run_id", "created", "version", "suite", "suite_file", "suite_digest", "sides", "sampling", "engine", "versions",
    "checks", "command", "tool_format", "numeric_floor", "collected", "policy", "policy_digest", "policy_remarks",
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
        "sentinels": [each.as_json() for each in evidence.sentinels],
        "baseline": None if evidence.against is None else evidence.against.as_json(),
        "figures": {
            "heat_map": None if shares.heat_map is None else shares.heat_map._asdict(),
            "timeline": None if shares.timeline is None else shares.timeline._asdict(),
            "marginals": shares.marginals,
        },
        "policing": _policing(evidence),
        "sensitivity": evidence.facts["sensitivity"],
        "coverage": _coverage(evidence),
        "not_tested": as_json(evidence.untested),
        "taxonomy": taxonomy(evidence.findings[:FINDINGS]),
        "disposition": {"reviewer": None, "date": None, "decision": None, "reason": None},
        "cut": [],
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
        "action": words.action(code, replayed=not can_replay(evidence.facts)),
    }


def _finding(finding: Finding, evidence: Evidence) -> dict[str, Any]:
    pair = evidence.pairs.get(finding.id)
    return {
        "id": finding.id,
        "fingerprint": finding.fingerprint,
        "rule": dict(finding.rule),
        "beside": list(map(dict, finding.beside)),
        "words": f"When {words.rule_in_words(finding.rule, finding.beside)}, {words.KINDS[finding.kind]}.",
        "kind": finding.kind,
        "flagged_by": finding.flagged_by,
        "status": finding.status,
        "reason": finding.reason,
        "severity": finding.severity,
        "severity_reason": finding.severity_reason,
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
        "tasks": dict(zip(("shown", "asked"), evidence.tasks[finding.id], strict=True))
        if finding.id in evidence.tasks
        else None,
        "pair": None if pair is None else _pair(pair),
        "pair_reason": finding.pair_reason,
        "replay": replay_finding(evidence.run, finding.id)
        if finding.pair_inside and can_replay(evidence.facts)
        else None,
        "code": [_weakness(weakness) for weakness in evidence.code.get(finding.id, ())],
    }


def _policing(evidence: Evidence) -> dict[str, Any]:
    policing = evidence.policing
    said_did = {"heuristic": SAID_DID, **evidence.said_did._asdict()}
    if policing is None:
        return {"rates": None, "counts": [], "hidden": 0, "said_did": said_did}
    counts = [
        each._asdict() | {"tool": _text(each.tool), "words": words.VIOLATIONS[each.kind]} for each in policing.counts
    ]
    rates = {side: rate._asdict() for side, rate in policing.rates.items()}
    return {"rates": rates, "counts": counts, "hidden": policing.hidden, "said_did": said_did}


def _violation(violation: Violation) -> dict[str, Any]:
    return {
        "side": violation.side,
        "tool": _text(violation.tool),
        "kind": violation.kind,
        "words": words.VIOLATIONS[violation.kind],
        "path": _text(violation.path),
        "value": None if violation.value is None else _text(violation.value),
        "resembles": violation.resembles,
        "severity": violation.severity,
    }


def _weakness(weakness: Weakness) -> dict[str, Any]:
    """Rates as {"hits", "n", "low", "high"}."""
    return {name: value._asdict() if isinstance(value, Rate) else value for name, value in weakness._asdict().items()}


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
        "ends": {
            end.side: {"ended": end.ended, "reason": None if end.reason is None else _text(end.reason)}
            for end in shown.ends
        },
        "world_changes": [_world_change(change) for change in shown.world_changes],
        "changes": [_change(change) for change in shown.changes],
        "violations": [_violation(violation) for violation in shown.violations],
        "said_did": shown.said_did,
        "cover_story": shown.cover_story,
        "mismatch": shown.mismatch,
        "tokens": {
            "texts": untrusted.json_untrusted(json.dumps([token.text for token in shown.tokens])),
            "candidate_logprobs": [token.candidate_logprob for token in shown.tokens],
            "trusted_logprobs": [token.trusted_logprob for token in shown.tokens],
            "jsd_lower": [token.jsd_lower for token in shown.tokens],
            "total": shown.n_tokens,
            "turn": shown.token_turn,
        },
    }


def _answer(answer: Answer) -> dict[str, Any]:
    calls, results = json.loads(answer.calls), json.loads(answer.results or "[]")
    return {
        "side": answer.side,
        "turn": answer.turn,
        "content": _text(answer.content),
        "text": _text(answer.text),
        "calls": [{"name": _text(str(c["name"])), "arguments": _text(str(c["arguments"]))} for c in calls],
        "parse": answer.parse,
        "parse_reason": answer.parse_reason,
        "finish_reason": answer.finish_reason,
        "results": [{"status": each["status"], "text": _text(each["text"])} for each in results],
        "characters": len(answer.text),
    }


def _world_change(change: WorldChange) -> dict[str, Any]:
    return {
        "change": change.change,
        "place": _text(change.place),
        "candidate": None if change.candidate is None else _text(change.candidate),
        "trusted": None if change.trusted is None else _text(change.trusted),
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
    coverage = evidence.coverage
    return {
        "factors": [
            {
                "name": factor.name,
                "source": factor.source,
                "levels": [level._asdict() for level in factor.levels],
            }
            for factor in evidence.factors
        ],
        "missing": [missing._asdict() for missing in evidence.missing],
        "counted": None if coverage is None else counted(coverage),
    }


def counted(coverage: Coverage) -> dict[str, Any]:
    """What was exposed and how large a trigger can be, as JSON values."""
    scopes = [scope for scope in ("run", "ledger") if scope in coverage.facts["unlisted"]]
    return {
        **coverage.facts,
        "scope": coverage.scope,
        "columns": [column.label for column in coverage.columns],
        "strengths": {scope: _in_scope(coverage.strengths, scope) for scope in scopes},
        "pairs": {scope: _in_scope(coverage.pairs, scope) for scope in scopes},
        "underexposed": {scope: _in_scope(coverage.underexposed, scope) for scope in scopes},
        "below": {scope: coverage.below(scope) for scope in scopes},
        "detectable": list(coverage.detectable),
    }


def _in_scope(rows: Sequence[Mapping[str, Any]], scope: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "scope"} for row in rows if row["scope"] == scope]
