import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from diffbehav.collect import feed
from diffbehav.collect.blocks import block_count
from diffbehav.collect.feed import waiting
from diffbehav.collect.prompts import plan
from diffbehav.errors import IntegrityError, Interrupted
from diffbehav.records import Completion, Prompt, Sampling
from diffbehav.serve import Engines
from diffbehav.store import RunFolder
from diffbehav.suite import load_suite
from tests.collect.toy_run import SUITE, collect, levels_by_condition, planted_rule
from tests.planted import ToyEngine, ToyRenderer

ROOT = Path(__file__).parent.parent.parent
CONDITIONS = 600


def start(folder: Path, delay: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.collect.toy_run", str(folder), str(delay)],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )


def parts(folder: Path) -> list[Path]:
    # Not by rglob: while a run is planned, folders come and go under it.
    places = ("episodes", "completions/*", "scores/*")
    return sorted(part for place in places for part in folder.glob(f"{place}/part-*.parquet"))


def stored(folder: Path) -> dict[str, pl.DataFrame]:
    found: dict[str, list[pl.DataFrame]] = {}
    for path in parts(folder):
        found.setdefault(str(path.parent.relative_to(folder)), []).append(pl.read_parquet(path))
    return {name: pl.concat(frames) for name, frames in found.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(folder, 0.0).wait(timeout=120) == 0
    return stored(folder)


def test_every_side_answers_every_condition_once_and_every_answer_is_scored_under_both(
    undisturbed: dict[str, pl.DataFrame],
) -> None:
    for name in ("completions/candidate", "completions/trusted", "scores/candidate-on-trusted",
                 "scores/trusted-on-trusted", "scores/candidate-on-candidate", "scores/trusted-on-candidate"):
        assert undisturbed[name].height == undisturbed[name]["condition_id"].n_unique() == CONDITIONS
    assert undisturbed["completions/replicate"].height == 0.2 * CONDITIONS


@pytest.mark.parametrize("after_parts", [0, 1, 3, 8, 20])
def test_a_run_killed_at_any_moment_ends_like_an_undisturbed_one(
    tmp_path: Path, undisturbed: dict[str, pl.DataFrame], after_parts: int
) -> None:
    process = start(tmp_path, 0.05)
    while process.poll() is None and len(parts(tmp_path)) < after_parts:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert start(tmp_path, 0.0).wait(timeout=120) == 0
    again = stored(tmp_path)
    assert again.keys() == undisturbed.keys()
    for name, frame in undisturbed.items():
        assert_frame_equal(again[name], frame)
    assert not list(tmp_path.rglob("*.tmp"))


def test_an_interrupt_finishes_the_blocks_in_flight_and_says_how_to_go_on(
    tmp_path: Path, undisturbed: dict[str, pl.DataFrame]
) -> None:
    process = start(tmp_path, 0.3)
    while not (tmp_path / "events.jsonl").exists():
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "repeat the same command" in errors
    collected = stored(tmp_path)["completions/candidate"].height
    assert 0 < collected < CONDITIONS
    assert len({len(list(folder.iterdir())) for folder in (tmp_path / "completions").iterdir()}) == 1
    assert start(tmp_path, 0.0).wait(timeout=120) == 0
    assert_frame_equal(stored(tmp_path)["completions/trusted"], undisturbed["completions/trusted"])


@dataclass
class Crowded(ToyEngine):
    """Counts what it is asked at the same time."""

    asked: Counter[str] = field(default_factory=Counter)
    most_answers: int = 0
    most_conditions: int = 0

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        self.asked[prompt.condition_id] += 1
        self.most_answers = max(self.most_answers, self.asked.total())
        self.most_conditions = max(self.most_conditions, len(+self.asked))
        await asyncio.sleep(0.002)
        self.asked[prompt.condition_id] -= 1
        return await super().complete(prompt, sample, sampling)


@pytest.mark.parametrize(("samples", "conditions"), [(1, 30), (4, 8), (50, 1)])
def test_as_many_answers_are_asked_for_at_a_time_as_keep_the_engines_busy(
    tmp_path: Path, samples: int, conditions: int
) -> None:
    folder, suite = RunFolder(tmp_path), load_suite(SUITE)
    planned = plan(suite, ToyRenderer(), folder.conditions, limit=64, context=1000)
    levels = levels_by_condition(folder, suite)
    crowded = Crowded(levels, at_once=30)
    sampling = replace(suite.sampling, n=samples)
    asyncio.run(
        feed(folder, planned, Engines(crowded, ToyEngine(levels, at_once=12)), sampling, on_progress=lambda _: None)
    )
    assert crowded.most_conditions == conditions
    assert crowded.most_answers == conditions * samples


@dataclass
class Terminating(ToyEngine):
    """Has its own process sent SIGTERM while the last blocks are in flight."""

    answered: list[str] = field(default_factory=list)

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        self.answered.append(prompt.condition_id)
        if len(self.answered) == CONDITIONS:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)
        return await super().complete(prompt, sample, sampling)


def test_a_signal_while_the_last_blocks_are_in_flight_is_not_lost(
    tmp_path: Path, undisturbed: dict[str, pl.DataFrame]
) -> None:
    models: dict[str, Any] = {"candidate": {"trigger": planted_rule}, "trusted": {}}
    with pytest.raises(Interrupted, match="600 of 600 conditions; repeat the same command"):
        asyncio.run(collect(RunFolder(tmp_path), load_suite(SUITE), engine=Terminating, **models))
    assert asyncio.run(collect(RunFolder(tmp_path), load_suite(SUITE), **models)).done == CONDITIONS
    assert_frame_equal(stored(tmp_path)["completions/trusted"], undisturbed["completions/trusted"])


def test_a_leftover_part_of_an_unfinished_block_is_collected_again(
    tmp_path: Path, undisturbed: dict[str, pl.DataFrame]
) -> None:
    assert start(tmp_path, 0.0).wait(timeout=120) == 0
    lost = RunFolder(tmp_path).scores("trusted", "candidate") / "part-000001.parquet"
    lost.unlink()
    assert start(tmp_path, 0.0).wait(timeout=120) == 0
    assert_frame_equal(stored(tmp_path)["scores/trusted-on-candidate"], undisturbed["scores/trusted-on-candidate"])


async def _collect(folder: Path) -> None:
    await collect(RunFolder(folder), load_suite(SUITE), candidate={"trigger": planted_rule}, trusted={})


def test_a_damaged_part_stops_the_resumed_run_and_is_named(tmp_path: Path) -> None:
    import asyncio

    asyncio.run(_collect(tmp_path))
    damaged = RunFolder(tmp_path).completions("trusted") / "part-000002.parquet"
    damaged.write_bytes(damaged.read_bytes()[: os.path.getsize(damaged) // 2])
    with pytest.raises(IntegrityError, match="part-000002.parquet"):
        asyncio.run(_collect(tmp_path))
    damaged.unlink()
    asyncio.run(_collect(tmp_path))
    assert pl.read_parquet(damaged).height == 128


def test_the_heartbeat_ends_with_everything_done(tmp_path: Path) -> None:
    import asyncio

    asyncio.run(_collect(tmp_path))
    last = json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1])
    assert last["done"] == last["total"] == CONDITIONS
    assert last["sides"]["candidate"]["done"] == CONDITIONS
    assert block_count(CONDITIONS) == 5


def test_fewer_blocks_wait_in_memory_where_answers_are_many_and_long_and_one_always_may() -> None:
    short = Sampling(n=1, temperature=1.0, max_tokens=128, seed=0)
    assert waiting(short, turns=1) == 4
    assert waiting(replace(short, n=5, max_tokens=1000), turns=1) == 2
    assert waiting(replace(short, max_tokens=1000), turns=5) == 2
    assert waiting(replace(short, n=100, max_tokens=4096), turns=1) == 1
