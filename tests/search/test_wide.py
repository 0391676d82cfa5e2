"""Contexts that are scored and not asked show where to ask: what too few conditions of a screen met is found."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from diffbehav.records import Condition, Prompt, Sampling, Score
from diffbehav.search.hunt import Screen
from diffbehav.search.live import Answered, Live
from diffbehav.search.search import Outcome, Promise, search
from diffbehav.search.wide import score_wide, stored_answers
from diffbehav.serve import Engines, NotServed
from diffbehav.stats.rule import Rule
from diffbehav.store import COMPLETIONS, RunFolder, part_path, write_parquet
from diffbehav.suite import conditions
from tests.planted import Levels, ToyEngine, ToyRenderer
from tests.search.test_engine_worlds import REACTION, SPACE, SUITE, confirmed, rule

ROWS = 150
CONTEXTS = 2500
PAIR = {"year": 7, "tool": 2}
"""One of 120 contexts: a screen of 150 conditions meets it once or twice."""


@dataclass
class Scorer(ToyEngine):
    """Counts the answers that it scores, and refuses those in a context."""

    scored: list[str] = field(default_factory=list)
    too_long: str = ""

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        self.scored.append(prompt.condition_id)
        if self.too_long and self.levels[prompt.condition_id]["marker"] == self.too_long:
            raise NotServed("the context is too long")
        return await super().score(prompt, answer_ids)


@dataclass
class World:
    """Two toy models and a small screen of theirs in a run folder."""

    run: RunFolder
    planted: Mapping[str, int] | None = None
    too_long: str = ""
    levels: dict[str, Levels] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.candidate = Scorer(
            self.levels, drift=0.2, reaction=REACTION, trigger=self.triggers, rate=0.9, too_long=self.too_long
        )
        self.engines = Engines(self.candidate, ToyEngine(self.levels))
        self.answered = Answered(self.run, self.engines, self.prompt_of, SUITE.sampling, floor=0.0)

    def triggers(self, at: Levels) -> bool:
        return self.planted is not None and all(at[name] == f"{name}{code}" for name, code in self.planted.items())

    def prompt_of(self, condition: Condition) -> Prompt:
        self.levels[condition.id] = {**condition.levels, "task": condition.task}
        return Prompt(condition.id, ToyRenderer().prompt_ids(condition.messages, condition.tools))

    async def screen(self) -> Screen:
        digits = SPACE.draw(ROWS, Rule((), ()), np.random.default_rng(1))
        drawn = list(conditions(SUITE, SPACE.indices(digits).tolist()))
        tasks = pl.DataFrame({"condition_id": [c.id for c in drawn], "task": [c.task for c in drawn]})
        channels = await self.answered.values([(condition, 0) for condition in drawn])
        tasks.unique().write_parquet(self.run.conditions)
        return Screen(digits, channels[:-1])

    async def wide(self, contexts: int = CONTEXTS) -> Screen:
        return await score_wide(
            self.run, SUITE, SPACE, self.engines, self.prompt_of, contexts=contexts, seed=0, on_stage=lambda _: None
        )

    async def search(self, *, wide: bool) -> Outcome:
        return await search(
            await self.screen(), SPACE, Live(SUITE, SPACE, self.answered), calls=2500, promise=Promise(0.05, 0.05),
            seed=1, on_step=lambda *_: None, wide=await self.wide() if wide else None,
        )  # fmt: skip


def test_a_pair_that_a_small_screen_hardly_meets_is_confirmed_exactly_by_what_a_wide_one_shows(tmp_path: Path) -> None:
    narrow, wide = (
        asyncio.run(World(RunFolder(tmp_path / name), PAIR).search(wide=name == "wide")) for name in ("narrow", "wide")
    )
    assert confirmed(narrow) == []
    assert confirmed(wide) == [rule(**PAIR)]


@pytest.mark.slow
def test_where_nothing_is_planted_a_wide_screen_confirms_nothing(tmp_path: Path) -> None:
    assert confirmed(asyncio.run(World(RunFolder(tmp_path)).search(wide=True))) == []


def test_contexts_that_are_scored_already_are_not_scored_again_and_keep_their_values(tmp_path: Path) -> None:
    world = World(RunFolder(tmp_path), PAIR)

    async def twice() -> tuple[Screen, Screen, int]:
        await world.screen()
        world.candidate.scored.clear()
        first = await world.wide(1000)
        scored = len(world.candidate.scored)
        part_path(world.run.wide("1000-0"), 2).unlink()
        return first, await world.wide(1000), len(world.candidate.scored) - scored

    first, second, again = asyncio.run(twice())
    assert again == 256
    np.testing.assert_array_equal(first.channels_HC, second.channels_HC)


def test_a_context_that_cannot_be_scored_is_nan_and_its_part_has_the_reason(tmp_path: Path) -> None:
    world = World(RunFolder(tmp_path), too_long="marker3")

    async def scored() -> Screen:
        await world.screen()
        return await world.wide(500)

    screen = asyncio.run(scored())
    refused_C = SPACE.codes(screen.digits_CA)[:, SPACE.names.index("marker")] == 3
    np.testing.assert_array_equal(np.isnan(screen.channels_HC[0]), refused_C)
    stored = pl.concat(pl.read_parquet(part) for part in sorted(world.run.wide("500-0").iterdir()))
    assert stored["reason"].drop_nulls().unique().to_list() == ["the context is too long"]
    assert (stored["value"].is_null() == stored["reason"].is_not_null()).all()


@pytest.mark.parametrize(("most", "expected"), [(1, [[5, 6]]), (2, [[5, 6], [7]]), (9, [[5, 6], [7], [8, 9]])])
def test_the_most_frequent_first_answers_of_each_task_are_taken_and_empty_ones_are_none(
    tmp_path: Path, most: int, expected: list[list[int]]
) -> None:
    run = RunFolder(tmp_path)
    drawn = [[7], [5, 6], [], [5, 6], [8, 9], [7], [5, 6], []]
    sampling = Sampling(n=1, temperature=1.0, max_tokens=4, seed=0)
    rows: dict[str, list[object]] = {name: [None] * len(drawn) for name in COMPLETIONS.names}
    rows |= {"condition_id": [f"c{i}" for i in range(len(drawn))], "token_ids": [*drawn]}
    rows |= {"sample": [0] * len(drawn), "turn": [0] * len(drawn), "seed": [sampling.seed] * len(drawn)}
    write_parquet(part_path(run.completions("trusted"), 0), rows, COMPLETIONS)
    pl.DataFrame({"condition_id": rows["condition_id"], "task": "one"}).write_parquet(run.conditions)
    assert stored_answers(run, most=most) == {"one": [tuple(each) for each in expected]}
