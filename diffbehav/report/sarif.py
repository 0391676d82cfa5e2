"""The findings of a gated run as SARIF 2.1.0, for code scanning; model text is in none of it."""

import json
from pathlib import Path
from typing import Any

from diffbehav import __version__
from diffbehav.report.findings import Finding
from diffbehav.report.gate import Gated
from diffbehav.report.words import KINDS, rule_in_words
from diffbehav.untrusted import visible

FINGERPRINT = "diffbehav/v1"
MOST_RESULTS = 1000
"""The best findings; the database has all of them."""
LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note", None: "warning"}


def sarif(gated: Gated) -> str:
    """The document; a finding that fails the gate, or is confirmed, is of kind `fail`."""
    driver = {
        "name": "diffbehav",
        "version": __version__,
        "rules": [{"id": kind, "shortDescription": {"text": visible(words)}} for kind, words in KINDS.items()],
    }
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"diffbehav/{visible(gated.run_id)}"},
        "results": [_result(finding, gated) for finding in gated.findings[:MOST_RESULTS]],
        "properties": {"gate": gated.result, "findings": len(gated.findings)},
    }
    document = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=1) + "\n"


def _result(finding: Finding, gated: Gated) -> dict[str, Any]:
    fails = finding.id in gated.failing or finding.status == "CONFIRMED"
    other = "pass" if finding.status == "NOT CONFIRMED" else "open"
    text = f"When {rule_in_words(finding.rule, finding.beside)}, {KINDS[finding.kind]}. {finding.status}."
    result: dict[str, Any] = {
        "ruleId": finding.kind,
        "kind": "fail" if fails else other,
        "level": LEVELS[finding.severity] if fails else "none",
        "message": {"text": visible(text)},
        "partialFingerprints": {FINGERPRINT: finding.fingerprint},
        "properties": {"finding": finding.id, "status": finding.status, "severity": finding.severity},
    }
    if finding.fingerprint in gated.accepted:
        why = visible(gated.accepted[finding.fingerprint])
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why}]
    if gated.suite_file is not None:
        place = {"artifactLocation": {"uri": _uri(Path(gated.suite_file))}, "region": {"startLine": 1}}
        result["locations"] = [{"physicalLocation": place}]
    return result


def _uri(suite: Path) -> str:
    """Relative to the working directory where the file lies below it, as code scanning wants it."""
    whole = suite.absolute()
    here = Path.cwd()
    return whole.relative_to(here).as_posix() if whole.is_relative_to(here) else whole.as_uri()
