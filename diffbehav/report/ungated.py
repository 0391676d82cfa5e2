"""A report.json document as a gate would see it, where no gate file judges: by verdict and statuses alone."""

from diffbehav.report.document import Document
from diffbehav.report.findings import Finding
from diffbehav.report.gate import Check, Gated, Result
from diffbehav.report.words import rule_in_words

RESULTS: dict[str, Result] = {
    "NO_DIVERGENCE_FOUND": "passed", "DIVERGENT": "divergent", "INCONCLUSIVE": "inconclusive", "INVALID": "invalid",
}  # fmt: skip
STATUSES: dict[str, Result] = {
    "CONFIRMED": "divergent", "NOT CONFIRMED": "passed", "INCONCLUSIVE": "inconclusive", "NOT TESTED": "inconclusive",
}  # fmt: skip
NUMBERS = (
    "id", "rule", "status", "kind", "score", "effect", "effect_low", "effect_high", "rate_inside", "rate_inside_low",
    "rate_inside_high", "rate_outside", "n", "n_flagged", "pair_reason", "flagged_by", "severity", "severity_reason",
    "fingerprint", "beside", "reason",
)  # fmt: skip


def ungated(document: Document) -> Gated:
    """A check of the verdict and one of every finding; a CONFIRMED one fails."""
    code, reasons = document["verdict"]["code"], document["verdict"]["reasons"]
    said = "; ".join([f"the verdict of the run is {code}", *reasons])
    findings = [
        Finding(**{name: each[name] for name in NUMBERS}, pair_inside=None, pair_outside=None, pair_factor=None)
        for each in document["findings"]
    ]
    checks = [Check("run", RESULTS[code], said), *map(_check, findings)]
    failing = [each.id for each in findings if each.status == "CONFIRMED"]
    run = document["run"]
    return Gated(run["run_id"], RESULTS[code], checks, findings, failing, run.get("suite_file"))


def _check(finding: Finding) -> Check:
    severity = finding.severity or "severity not derived"
    reason = f"{finding.id} {finding.status}, {severity}: {rule_in_words(finding.rule, finding.beside)}"
    return Check(finding.fingerprint, STATUSES[finding.status], reason)
