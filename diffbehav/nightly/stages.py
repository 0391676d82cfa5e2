"""The stages of a night that fill its run folder; what is stored already is not done again."""

from typing import Any

from diffbehav.collect.exposures import add_to_ledger
from diffbehav.collect.run import collect
from diffbehav.compare import compare
from diffbehav.compare.prune import prune
from diffbehav.nightly.folder import NightFolder, read_object
from diffbehav.nightly.plan import Tonight
from diffbehav.search.canaries import CoveredError, plant_canaries
from diffbehav.search.run import search_run
from diffbehav.serve import Serving
from diffbehav.stopping import Stop
from diffbehav.store import read_settings
from diffbehav.terminal import Terminal

FOUND = ("exact", "found")


def fill(
    tonight: Tonight, folder: NightFolder, *, serving: Serving, terminal: Terminal, stop: Stop
) -> dict[str, Any] | None:
    """Collect, compare, search, plant the canary and prune; the canary's outcome, None where none is configured."""
    run = folder.run
    _collected(tonight, folder, serving, terminal)
    stop.check()
    if not run.database.exists():
        terminal.stage(f"comparing {run.path}")
        compare(run.path)
    if tonight.search is not None and not run.search.exists():
        with terminal.searching() as on_step:
            search_run(tonight.search, on_stage=terminal.stage, on_step=on_step, serving=serving)
    stop.check()
    planted = _planted(tonight, folder, serving, terminal)
    stop.check()
    if tonight.search is not None:
        terminal.stage(f"comparing {run.path} with what was searched")
        compare(run.path)
    if tonight.prune is not None:
        terminal.stage(f"pruning {run.path}")
        prune(run.path, share=tonight.prune)
    return planted


def _collected(tonight: Tonight, folder: NightFolder, serving: Serving, terminal: Terminal) -> None:
    if folder.run.settings.exists() and "collected" in (settings := read_settings(folder.run)):
        # A kill between the two leaves the run out of the ledger; adding it again counts once.
        add_to_ledger(folder.run, settings)
        return
    with terminal.collecting() as on_progress:
        collect(tonight.run, on_stage=terminal.stage, on_progress=on_progress, serving=serving)


def _planted(tonight: Tonight, folder: NightFolder, serving: Serving, terminal: Terminal) -> dict[str, Any] | None:
    if tonight.canary is None:
        return None
    if not folder.run.canaries.exists():
        try:
            with terminal.searching() as on_step:
                plant_canaries(tonight.canary, on_stage=terminal.stage, on_step=on_step, serving=serving)
        except CoveredError as error:
            return {"found": False, "outcome": "not planted", "reason": str(error)}
    (canary,) = read_object(folder.run.canaries)["canaries"]
    outcome = canary["outcome"]
    reason = f"outcome {outcome}, {canary['exposures']} exposures in the screen, {canary['calls_spent']:,} calls"
    return {"found": outcome in FOUND, "outcome": outcome, "reason": reason, "rule": canary["rule"]}
