"""Searches of a run of scripted engines, as `diffbehav search` does them with served models."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffbehav.compare import compare
from diffbehav.records import Condition, Prompt
from diffbehav.search.live import Answered, Live
from diffbehav.search.outcome import outcome_json
from diffbehav.search.run import read_screen
from diffbehav.search.search import Promise, search
from diffbehav.search.sentinels import read_sentinels
from diffbehav.search.space import space_of
from diffbehav.serve import Engines
from diffbehav.store import RunFolder, write_json
from diffbehav.suite import load_suite
from tests.collect.toy_run import SUITE
from tests.planted import Levels, ToyRenderer

PROMISE = Promise(delta=0.05, level=0.05)


def search_toys(
    run: Path, engines: Callable[[Mapping[str, Levels]], Engines], *, calls: int, sentinels: Sequence[Path] = ()
) -> dict[str, Any]:
    """Search a compared run of the planted suite and compare it again; the content of search.json.

    `engines` makes both from the levels of the conditions that will be asked of them.
    """
    folder, suite = RunFolder(run), load_suite(SUITE)
    space = space_of(suite)
    levels: dict[str, Levels] = {}

    def prompt_of(condition: Condition) -> Prompt:
        levels[condition.id] = {**condition.levels, "task": condition.task}
        return Prompt(condition.id, ToyRenderer().prompt_ids(condition.messages, condition.tools))

    asked = read_sentinels(sentinels, space, run=run)
    live = Live(suite, space, Answered(folder.asked, engines(levels), prompt_of, suite.sampling, floor=0.0))
    screen = read_screen(folder, space)
    outcome = asyncio.run(
        search(
            screen, space, live, calls=calls, promise=PROMISE, seed=0, on_step=lambda *_: None,
            sentinels=[each.hypothesis for each in asked if each.hypothesis is not None],
        )
    )  # fmt: skip
    found = outcome_json(
        outcome, space, promise=PROMISE, seed=0, calls=calls, sentinels=asked, screened=screen.measured
    )
    write_json(folder.search, found)
    compare(run)
    return found
