"""run.duckdb -> documents that a person reads, and the findings as JSON."""

from diffbehav.report.findings import findings_json
from diffbehav.report.gate import gate
from diffbehav.report.html import render_html
from diffbehav.report.listing import list_runs
from diffbehav.report.monitor import monitor
from diffbehav.report.write import write_gated, write_pdf, write_report

__all__ = ["findings_json", "gate", "list_runs", "monitor", "render_html", "write_gated", "write_pdf", "write_report"]
