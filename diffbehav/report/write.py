"""Writes the documents of one run."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jinja2 import UndefinedError

from diffbehav.errors import InputError
from diffbehav.records import json_object
from diffbehav.report.document import SCHEMA, Document, document
from diffbehav.report.evidence import read_evidence
from diffbehav.report.findings_csv import render_csv
from diffbehav.report.gate import Gated
from diffbehav.report.html import render_html
from diffbehav.report.interactive import render_interactive
from diffbehav.report.junit import junit
from diffbehav.report.markdown import render_markdown
from diffbehav.report.pdf import print_pdf
from diffbehav.report.sarif import sarif
from diffbehav.report.sums import NIGHT, write_sums
from diffbehav.report.ungated import ungated
from diffbehav.store import RunFolder, disk_error

FILES: Mapping[str, str] = {
    "html": "report.html", "json": "report.json", "md": "report.md", "csv": "findings.csv", "figures": "figures.html",
    "sarif": "findings.sarif", "junit": "junit.xml", "pdf": "report.pdf",
}  # fmt: skip
"""Format -> its file."""
USUAL = ("html", "json", "md", "csv", "figures")
GATED = ("sarif", "junit")
MOST_BYTES = 512 << 20
RENDERED: Mapping[str, Callable[[Document], str]] = {
    "html": render_html, "md": render_markdown, "csv": render_csv, "figures": render_interactive,
    "sarif": lambda content: sarif(ungated(content)), "junit": lambda content: junit(ungated(content)),
}  # fmt: skip


def write_report(run_folder: Path, out: Path, formats: Sequence[str] = USUAL) -> list[Path]:
    """Write the report of the run in these `formats` (keys of FILES) into the folder `out`, and its SHA256SUMS.

    All of them are rendered from report.json alone. The files of `formats`, in that order, are returned.
    """
    source = json.dumps(document(read_evidence(RunFolder(run_folder).database)), indent=1) + "\n"
    return _written(source, json.loads(source), out, formats)


def render_report(source: Path, out: Path, formats: Sequence[str] = USUAL) -> list[Path]:
    """The same from a report.json that was written before, without its run; InputError where `source` is none."""
    try:
        if source.stat().st_size > MOST_BYTES:
            raise InputError(f"{source}: more than {MOST_BYTES:,} bytes are no report.json")
        text = source.read_bytes().decode("utf-8")
        content = json_object(text)
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: cannot be read as a report.json ({error})") from error
    if content.get("schema") != SCHEMA:
        raise InputError(f"{source}: no report.json with schema {SCHEMA!r}; `diffbehav report RUN` writes one")
    try:
        return _written(text, content, out, formats)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, UndefinedError) as error:
        raise InputError(f"{source}: is no whole report.json ({error!r}); write it again from its run") from error


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


def _written(source: str, content: Document, out: Path, formats: Sequence[str]) -> list[Path]:
    _keep_gated(out, formats)
    texts = {name: source if name == "json" else RENDERED[name](content) for name in formats if name != "pdf"}
    for name, text in texts.items():
        _write(out / FILES[name], text)
    if "pdf" in formats:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / FILES["html"]
            _write(page, texts.get("html") or render_html(content))
            write_pdf(page, out / FILES["pdf"])
    write_sums(out)
    return [out / FILES[name] for name in formats]


def _keep_gated(out: Path, formats: Sequence[str]) -> None:
    """InputError where a file of these formats would take the place of what the gate of a night says."""
    gated = [FILES[name] for name in formats if name in GATED]
    if gated and (out / NIGHT).exists():
        raise InputError(
            f"{out} is the report of a night: {' and '.join(gated)} in it say what gate and triage say, and would "
            "be lost; name another folder with --out"
        )


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise disk_error(error, path) from error
