import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffbehav.collect.prompts import plan
from diffbehav.collect.rescore import Rescored, rescore
from diffbehav.records import Prompt, Score
from diffbehav.serve import Engines, NotServed
from diffbehav.store import RunFolder
from diffbehav.suite import load_suite
from tests.collect.toy_run import SUITE, collect, levels_by_condition, planted_rule
from tests.planted import Levels, ToyEngine, ToyRenderer

SHIFT = 0.03


class Renamed(ToyEngine):
    """Knows conditions by the name that scoring again gives them, too."""

    shift = 0.0

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        name = prompt.condition_id.removesuffix("/again")
        scored = await super().score(Prompt(name, prompt.ids, prompt.turn), answer_ids)
        shift = np.float32(self.shift if name != prompt.condition_id else 0.0)
        return scored._replace(logprobs_T=scored.logprobs_T + shift)


class Restless(Renamed):
    shift = SHIFT


class Stored(ToyEngine):
    """Holds what it scored once and nothing else, as a replay does."""

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        if prompt.condition_id.endswith("/again"):
            raise NotServed("not stored")
        return await super().score(prompt, answer_ids)


def floor_of(folder: Path, candidate: type[ToyEngine], trusted: type[ToyEngine]) -> Rescored:
    async def whole() -> Rescored:
        run, suite = RunFolder(folder), load_suite(SUITE)
        await collect(run, suite, candidate={"trigger": planted_rule}, trusted={}, engine=Renamed)
        levels: dict[str, Levels] = levels_by_condition(run, suite)
        planned = plan(suite, ToyRenderer(), run.conditions, limit=None, context=1000)
        engines = Engines(candidate(levels, trigger=planted_rule), trusted(levels))
        return await rescore(run, planned.prompts, engines)

    return asyncio.run(whole())


def test_engines_that_repeat_themselves_have_a_floor_of_zero(tmp_path: Path) -> None:
    again = floor_of(tmp_path, Renamed, Renamed)
    assert again.floor == 0.0
    assert again.tokens > 4 * again.conditions > 0


def test_what_moves_when_it_is_scored_again_is_the_floor(tmp_path: Path) -> None:
    assert abs(floor_of(tmp_path, Restless, Renamed).floor - SHIFT) < 1e-5


def test_a_side_that_is_replayed_is_left_out(tmp_path: Path) -> None:
    live, replayed = floor_of(tmp_path / "live", Renamed, Renamed), floor_of(tmp_path / "half", Renamed, Stored)
    assert 0 < replayed.tokens < live.tokens
