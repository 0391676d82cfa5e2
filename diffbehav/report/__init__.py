"""run.duckdb -> documents that a person reads, and the findings as JSON."""

from diffbehav.report.findings import findings_json
from diffbehav.report.gate import gate
from diffbehav.report.html import render_html
from diffbehav.report.listing import list_runs
from diffbehav.report.monitor import monitor
from diffbehav.report.sums import SUMS, read_sums, write_sums
from diffbehav.report.write import FILES, USUAL, render_report, write_gated, write_pdf, write_report

__all__ = [
    "FILES",
    "SUMS",
    "USUAL",
    "findings_json",
    "gate",
    "list_runs",
    "monitor",
    "read_sums",
    "render_html",
    "render_report",
    "write_gated",
    "write_pdf",
    "write_report",
    "write_sums",
]
