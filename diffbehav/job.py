"""Collect, compare and report in one go: what `run` and `demo` both do."""

from diffbehav.collect.run import Request, collect
from diffbehav.compare import compare
from diffbehav.report import write_report
from diffbehav.terminal import Terminal


def run_and_report(request: Request, *, terminal: Terminal) -> None:
    """Fill the run folder, build its run.duckdb and its report."""
    with terminal.collecting() as on_progress:
        last = collect(request, on_stage=terminal.stage, on_progress=on_progress)
    terminal.stage(f"{last.total:,} conditions are collected; comparing")
    compare(request.out)
    paths = write_report(request.out, request.out / "report")
    terminal.stage(f"report: {paths[0]}")
