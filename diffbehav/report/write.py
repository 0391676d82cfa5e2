"""Writes the documents of one run."""

import json
from pathlib import Path

from diffbehav.report.document import document
from diffbehav.report.evidence import read_evidence
from diffbehav.report.html import render_html
from diffbehav.report.interactive import render_interactive
from diffbehav.store import RunFolder, disk_error


def write_report(run_folder: Path, out: Path) -> list[Path]:
    """Write report.html, report.json and figures.html of the run into the folder `out`."""
    content = document(read_evidence(RunFolder(run_folder).database))
    files = {
        "report.html": render_html(content),
        "report.json": json.dumps(content, indent=1, sort_keys=True) + "\n",
        "figures.html": render_interactive(content),
    }
    written = []
    for name, text in files.items():
        path = out / name
        try:
            out.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise disk_error(error, path) from error
        written.append(path)
    return written
