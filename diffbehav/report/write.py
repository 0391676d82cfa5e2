"""Writes the documents of one run."""

import json
from pathlib import Path

from diffbehav.report.document import document
from diffbehav.report.evidence import read_evidence
from diffbehav.report.gate import Gated
from diffbehav.report.html import render_html
from diffbehav.report.interactive import render_interactive
from diffbehav.report.junit import junit
from diffbehav.report.sarif import sarif
from diffbehav.store import RunFolder, disk_error


def write_report(run_folder: Path, out: Path) -> list[Path]:
    """Write report.html, report.json and figures.html of the run into the folder `out`."""
    content = document(read_evidence(RunFolder(run_folder).database))
    files = {
        "report.html": render_html(content),
        "report.json": json.dumps(content, indent=1, sort_keys=True) + "\n",
        "figures.html": render_interactive(content),
    }
    for name, text in files.items():
        _write(out / name, text)
    return [out / name for name in files]


def write_gated(gated: Gated, *, junit_file: Path | None, sarif_file: Path | None) -> None:
    """Write what the gate says as JUnit XML and as SARIF, each where a file is named."""
    if junit_file is not None:
        _write(junit_file, junit(gated))
    if sarif_file is not None:
        _write(sarif_file, sarif(gated))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise disk_error(error, path) from error
