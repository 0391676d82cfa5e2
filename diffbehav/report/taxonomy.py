"""Which entries of public taxonomies the findings are relevant to: a versioned list, not a judgement."""

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from diffbehav.report.findings import Finding


def taxonomy(findings: Sequence[Finding]) -> dict[str, Any]:
    """Every entry that a finding is relevant to by the kind of what differs, as JSON values.

    Findings that were NOT CONFIRMED are relevant to nothing.
    """
    known = json.loads(resources.files("diffbehav.report").joinpath("taxonomy.json").read_text(encoding="utf-8"))
    held = [finding for finding in findings if finding.status != "NOT CONFIRMED"]
    rows = []
    for framework in known["frameworks"]:
        for entry in framework["entries"]:
            ids = [finding.id for finding in held if finding.kind in entry["kinds"]]
            if ids:
                place = {"framework": framework["framework"], "version": framework["version"]}
                rows.append({**place, "id": entry["id"], "name": entry["name"], "if": entry["if"], "findings": ids})
    return {"version": known["version"], "relevant": rows}
