"""findings.csv: every finding of a report.json document, a row each (RFC 4180)."""

import json
from collections.abc import Mapping
from typing import Any

from diffbehav import untrusted
from diffbehav.report.document import Document
from diffbehav.report.words import rule_in_words

TEXTS = (
    "status", "reason", "severity", "severity_reason", "kind", "flagged_by", "fingerprint", "pair_reason", "replay",
)  # fmt: skip
NUMBERS = (
    "score", "effect", "effect_low", "effect_high", "rate_inside", "rate_inside_low", "rate_inside_high",
    "rate_outside", "n", "n_flagged",
)  # fmt: skip


def render_csv(document: Document) -> str:
    """The table; a missing number is an empty field."""
    head = ",".join(("id", "rule", "rule_json", "beside_json", *TEXTS, *NUMBERS))
    return "\r\n".join([head, *map(_row, document["findings"])]) + "\r\n"


def _row(finding: Mapping[str, Any]) -> str:
    rule, beside = finding["rule"], finding["beside"]
    said = rule_in_words(rule, beside).replace("`", "")
    texts = (finding["id"], said, json.dumps(rule), json.dumps(beside), *(finding[name] for name in TEXTS))
    numbers = ("" if finding[name] is None else repr(finding[name]) for name in NUMBERS)
    cells = ("" if text is None else untrusted.csv_cell(text) for text in texts)
    return ",".join([*cells, *numbers])
