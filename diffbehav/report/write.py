"""Writes the documents of one run."""

import json
from pathlib import Path

from diffbehav.report.document import document
from diffbehav.report.evidence import read_evidence
from diffbehav.report.findings_csv import render_csv
from diffbehav.report.gate import Gated
from diffbehav.report.html import render_html
from diffbehav.report.interactive import render_interactive
from diffbehav.report.junit import junit
from diffbehav.report.markdown import render_markdown
from diffbehav.report.pdf import print_pdf
from diffbehav.report.sarif import sarif
from diffbehav.store import RunFolder, disk_error


def write_report(run_folder: Path, out: Path) -> list[Path]:
    """Write report.json of the run into the folder `out`, and beside it what is rendered from it."""
    source = json.dumps(document(read_evidence(RunFolder(run_folder).database)), indent=1) + "\n"
    content = json.loads(source)
    files = {
        "report.html": render_html(content),
        "report.json": source,
        "report.md": render_markdown(content),
        "findings.csv": render_csv(content),
        "figures.html": render_interactive(content),
    }
    for name, text in files.items():
        _write(out / name, text)
    return [out / name for name in files]


def write_pdf(page: Path, out: Path) -> None:
    """Print report.html as PDF; InfrastructureError where no Chromium is found or it fails."""
    try:
        print_pdf(page, out)
    except OSError as error:
        raise disk_error(error, out) from error


def write_gated(gated: Gated, *, junit_file: Path | None, sarif_file: Path | None) -> None:
    """Write what the gate says as JUnit XML and as SARIF, each where a file is named."""
    if junit_file is not None:
        _write(junit_file, junit(gated))
    if sarif_file is not None:
        _write(sarif_file, sarif(gated))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise disk_error(error, path) from error
