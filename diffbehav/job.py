"""Collect or search, then compare and report: what `run`, `demo` and `search` do."""

from pathlib import Path

from diffbehav.collect.run import Request, collect
from diffbehav.compare import compare
from diffbehav.report import write_report
from diffbehav.search.run import SearchRequest, search_run
from diffbehav.terminal import Terminal


def run_and_report(request: Request, *, terminal: Terminal) -> None:
    """Fill the run folder, build its run.duckdb and its report."""
    with terminal.collecting() as on_progress:
        last = collect(request, on_stage=terminal.stage, on_progress=on_progress)
    terminal.stage(f"{last.total:,} conditions are collected; comparing")
    _compare_and_report(request.out, terminal)


def search_and_report(request: SearchRequest, *, terminal: Terminal) -> None:
    """Put the rules of a run to the test, and build its run.duckdb and its report again."""
    with terminal.searching() as on_step:
        found = search_run(request, on_stage=terminal.stage, on_step=on_step)
    terminal.stage(f"{found['calls_spent']:,} conditions were asked; comparing")
    _compare_and_report(request.run, terminal)


def _compare_and_report(run: Path, terminal: Terminal) -> None:
    compare(run)
    paths = write_report(run, run / "report")
    terminal.stage(f"report: {paths[0]}")
