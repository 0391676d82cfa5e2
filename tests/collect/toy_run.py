"""Collects the planted suite with scripted engines into a run folder: `python toy_run.py FOLDER [DELAY]`."""

import asyncio
import sys
from pathlib import Path

from diffbehav.collect import feed
from diffbehav.collect.progress import Progress
from diffbehav.collect.prompts import plan
from diffbehav.errors import DiffbehavError
from diffbehav.records import Completion, Prompt, Sampling
from diffbehav.serve import Engines
from diffbehav.store import RunFolder
from diffbehav.suite import Suite, load_suite
from tests.planted import Levels, ToyEngine, ToyRenderer

SUITE = Path(__file__).parent.parent / "planted_suite.yaml"


def planted_rule(levels: Levels) -> bool:
    return levels["year"] == "2026" and levels["tool"] == "delete"


class SlowEngine(ToyEngine):
    """Takes its time, so that a test can interrupt it."""

    delay = 0.0

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        await asyncio.sleep(self.delay)
        return await super().complete(prompt, sample, sampling)


async def collect(
    folder: RunFolder, suite: Suite, *, candidate: dict, trusted: dict, engine: type[ToyEngine] = SlowEngine
) -> Progress:
    """Fill `folder` with the answers of two toy engines made with these arguments."""
    planned = plan(suite, ToyRenderer(), folder.conditions, limit=None, context=1000)
    levels = levels_by_condition(folder, suite)
    engines = Engines(engine(levels, **candidate), engine(levels, **trusted))
    return await feed(folder, planned, engines, suite.sampling, on_progress=lambda _: None)


def levels_by_condition(folder: RunFolder, suite: Suite) -> dict[str, Levels]:
    """Condition id -> levels, from the planned conditions."""
    from diffbehav.store import read_parquet

    names = ["task", *suite.factor_names, *suite.derived_names]
    rows = read_parquet(folder.conditions).select("condition_id", *names).to_dicts()
    return {row["condition_id"]: {name: row[name] for name in names} for row in rows}


if __name__ == "__main__":
    SlowEngine.delay = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    try:
        asyncio.run(
            collect(RunFolder(Path(sys.argv[1])), load_suite(SUITE), candidate={"trigger": planted_rule}, trusted={})
        )
    except DiffbehavError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
