"""A search over a collected run with live engines: `diffbehav search RUN`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from diffbehav.collect.run import open_again
from diffbehav.errors import InputError
from diffbehav.search.hunt import OnStep, Screen
from diffbehav.search.live import MEASURED, Answered, Live, rendered
from diffbehav.search.outcome import outcome_json
from diffbehav.search.search import Promise, search
from diffbehav.search.sentinels import read_sentinels
from diffbehav.search.space import Space, space_of
from diffbehav.search.wide import score_wide
from diffbehav.serve import VLLM, Serving
from diffbehav.store import RunFolder, open_untrusted, read_settings, write_json
from diffbehav.store.lock import alone_in
from diffbehav.suite import suite_from_resolved


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What `diffbehav search` was asked to do."""

    run: Path
    calls: int
    """Conditions that may be asked, each one answer of the candidate."""
    delta: float
    level: float
    seed: int
    sentinels: Sequence[Path] = ()
    """Earlier runs whose confirmed rules are asked first."""
    wide: int = 0
    """Further contexts that are scored before, without generating."""


def search_run(
    request: SearchRequest, *, on_stage: Callable[[str], None], on_step: OnStep, serving: Serving = VLLM
) -> dict[str, Any]:
    """Search the run and write its outcome to search.json in the run folder; the same request goes on where it was."""
    run = RunFolder(request.run)
    read_settings(run)
    with alone_in(run):
        return serving.run(_search_run(request, on_stage, on_step, serving))


async def _search_run(
    request: SearchRequest, on_stage: Callable[[str], None], on_step: OnStep, serving: Serving
) -> dict[str, Any]:
    run = RunFolder(request.run)
    settings = read_settings(run)
    suite = suite_from_resolved(settings["suite"], name=str(run.settings))
    space = space_of(suite)
    screen = read_screen(run, space)
    sentinels = read_sentinels(request.sentinels, space, run=request.run)
    for sentinel in sentinels:
        if sentinel.reason is not None:
            on_stage(f"a rule that {', '.join(sentinel.runs)} confirmed cannot be asked: {sentinel.reason}")
    promise = Promise(delta=request.delta, level=request.level)
    on_stage("starting the engines")
    engines, renderer = await open_again(run, serving)
    try:
        floor = settings["numeric_floor"]
        prompt_of = rendered(renderer)
        wide = None
        if request.wide:
            on_stage(f"scoring stored answers of the trusted model in {request.wide:,} contexts")
            wide = await score_wide(
                run, suite, space, engines, prompt_of, contexts=request.wide, seed=request.seed, on_stage=on_stage
            )
        live = Live(suite, space, Answered(run.asked, engines, prompt_of, suite.sampling, floor=floor))
        outcome = await search(
            screen, space, live, calls=request.calls, promise=promise, seed=request.seed, on_step=on_step,
            sentinels=[each.hypothesis for each in sentinels if each.hypothesis is not None], wide=wide,
        )  # fmt: skip
    finally:
        await engines.close()
    found = outcome_json(
        outcome, space, promise=promise, seed=request.seed, calls=request.calls, sentinels=sentinels,
        screened=screen.measured, wide=request.wide,
    )  # fmt: skip
    write_json(run.search, found)
    return found


def read_screen(run: RunFolder, space: Space) -> Screen:
    """The screen as compare measured it."""
    with open_untrusted(run.database) as connection:
        rows = connection.sql("SELECT condition_id, grid_index FROM conditions ORDER BY condition_id").pl()
        long = connection.sql("SELECT condition_id, distance, value FROM divergences").pl()
    wide = long.filter(pl.col("distance").is_in(MEASURED)).pivot("distance", index="condition_id", values="value")
    values = rows.join(wide, on="condition_id", how="left")
    *channels, excess_C = values.select(MEASURED).fill_null(np.nan).to_numpy().T
    if np.isnan(channels).all():
        raise InputError(f"{run.path}: nothing was measured, so there is nothing to search from")
    return Screen(space.grid.digits(values["grid_index"].to_numpy()), np.array(channels), excess_C)
