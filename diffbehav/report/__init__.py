"""run.duckdb -> documents that a person reads, and the findings as JSON."""

from diffbehav.report.findings import findings_json
from diffbehav.report.listing import list_runs
from diffbehav.report.write import write_report

__all__ = ["findings_json", "list_runs", "write_report"]
