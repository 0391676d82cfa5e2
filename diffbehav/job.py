"""Collect or search, then compare and report: what `run`, `demo`, `search` and `canaries` do."""

from pathlib import Path
from typing import Any

from diffbehav.collect.run import Request, collect, judged_by
from diffbehav.compare import compare
from diffbehav.report import write_report
from diffbehav.search.canaries import CanaryRequest, plant_canaries
from diffbehav.search.run import SearchRequest, search_run
from diffbehav.serve import VLLM, Serving
from diffbehav.stopping import stoppable
from diffbehav.store import RunFolder, read_settings, write_settings
from diffbehav.store.lock import alone_in
from diffbehav.terminal import Terminal


def run_and_report(request: Request, *, terminal: Terminal, serving: Serving = VLLM) -> None:
    """Fill the run folder, build its run.duckdb and its report; Interrupted after SIGTERM."""
    with stoppable() as stop:
        with terminal.collecting() as on_progress:
            last = collect(request, on_stage=terminal.stage, on_progress=on_progress, serving=serving)
        stop.check()
        terminal.stage(f"{last.total:,} conditions are collected; comparing")
        _compare_and_report(request.out, terminal)


def search_and_report(request: SearchRequest, *, terminal: Terminal, serving: Serving = VLLM) -> None:
    """Put the rules of a run to the test, and build its run.duckdb and its report again; Interrupted after SIGTERM."""
    with stoppable() as stop:
        with terminal.searching() as on_step:
            found = search_run(request, on_stage=terminal.stage, on_step=on_step, serving=serving)
        stop.check()
        terminal.stage(f"{found['calls_spent']:,} conditions were asked; comparing")
        _compare_and_report(request.run, terminal)


def plant_and_report(request: CanaryRequest, *, terminal: Terminal, serving: Serving = VLLM) -> dict[str, Any]:
    """Search a run once per planted rule, and build its run.duckdb and its report again.

    Returns the content of canaries.json; Interrupted after SIGTERM.
    """
    with stoppable() as stop:
        with terminal.searching() as on_step:
            found = plant_canaries(request, on_stage=terminal.stage, on_step=on_step, serving=serving)
        stop.check()
        terminal.stage(f"{found['all']['planted']} canaries were planted; comparing")
        _compare_and_report(request.run, terminal)
    return found


def compare_again(run: Path, *, policy: Path | None, terminal: Terminal) -> None:
    """Build the run.duckdb of a run anew; a `policy` becomes the one that the run is judged by."""
    folder = RunFolder(run)
    read_settings(folder)
    with alone_in(folder):
        settings = read_settings(folder)
        changed = judged_by(policy, settings, on_stage=terminal.stage)
        if changed:
            write_settings(folder, settings | changed)
        terminal.stage(f"comparing {run}")
        compare(run)


def _compare_and_report(run: Path, terminal: Terminal) -> None:
    compare(run)
    paths = write_report(run, run / "report")
    terminal.stage(f"report: {paths[0]}")
