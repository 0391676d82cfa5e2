"""Two workers of a Ray cluster fill the run folder that one process fills, and one of them may be killed meanwhile."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from diffbehav.collect import feed
from diffbehav.collect.progress import Progress
from diffbehav.collect.prompts import Planned, plan
from diffbehav.collect.run import Request, collect
from diffbehav.collect.spread import collect_block, spread_over
from diffbehav.errors import InputError
from diffbehav.organism import shipped
from diffbehav.records import Score
from diffbehav.serve import Engines, Placement, RayEngine, Renderer, open_engines
from diffbehav.serve.ray_pool import Place, Pool
from diffbehav.store import RunFolder, part_path, read_parquet, read_settings
from diffbehav.suite import load_suite
from diffbehav.suite import shipped as shipped_suite
from tests.collect.test_feed import stored
from tests.serve.ray_work import process

pytestmark = [pytest.mark.vllm, pytest.mark.usefixtures("ray_cluster")]
CONDITIONS = 200
WORKERS = 2
SUITE = load_suite(shipped_suite("agent_context"))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run of one process on this machine."""
    out = tmp_path_factory.mktemp("ray") / "local"
    request = Request(
        suite=shipped_suite("agent_context"), candidate=shipped("trusted"), candidate_adapter=shipped("marker"),
        trusted=shipped("trusted"), out=out, limit=CONDITIONS, tool_format="auto", top_k=5, allow_template=False,
        command="test",
    )  # fmt: skip
    collect(request, on_stage=lambda _: None, on_progress=lambda _: None)
    return RunFolder(out)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def engines(loop: asyncio.Runner, local: RunFolder, ray_cluster: None) -> Iterator[Engines]:
    """The same sides in two workers."""
    del ray_cluster
    settings = read_settings(local)
    engines = loop.run(
        open_engines(
            shipped("trusted"), shipped("marker"), shipped("trusted"), top_k=settings["top_k"],
            max_model_len=settings["engine"]["max_model_len"], tool_format=settings["tool_format"],
            placement=Placement(kind="ray", workers=WORKERS),
        )
    )  # fmt: skip
    loop.run(_all_ready(pool_in(engines)))
    yield engines
    loop.run(engines.close())


async def _all_ready(pool: Pool) -> None:
    await asyncio.gather(*(place.opening for place in pool.places))


def pool_in(engines: Engines) -> Pool:
    assert isinstance(engines.candidate, RayEngine)
    return engines.candidate.pool


def planned_again(local: RunFolder, path: Path) -> tuple[RunFolder, Planned]:
    """A new run folder that is to ask what `local` has asked."""
    path.mkdir()
    folder = RunFolder(path)
    shutil.copy(local.settings, folder.settings)
    shutil.copy(local.conditions, folder.conditions)
    return folder, plan(SUITE, Renderer(shipped("trusted")), folder.conditions, limit=None, context=0)


def spread_again(
    loop: asyncio.Runner, local: RunFolder, path: Path, engines: Engines, on_progress: Callable[[Progress], None]
) -> tuple[RunFolder, Progress]:
    folder, planned = planned_again(local, path)
    spread = spread_over(engines, folder, samples=SUITE.sampling.n)
    assert spread is not None
    work = feed(folder, planned, engines, SUITE.sampling, on_progress=on_progress, spread=spread)
    return folder, loop.run(work)


def assert_same_rows(one: RunFolder, other: RunFolder) -> None:
    left, right = stored(one.path), stored(other.path)
    assert left.keys() == right.keys()
    for name, frame in left.items():
        assert_frame_equal(right[name], frame)


def assert_all_counted(last: Progress) -> None:
    assert last.done == last.total == CONDITIONS
    assert all(tally.done == tally.total for tally in last.sides.values())


def busy(pool: Pool) -> list[Place]:
    return [place for place in pool.places if place.pending]


def test_an_engine_in_workers_answers_and_scores_as_one_on_this_machine(
    loop: asyncio.Runner, engines: Engines, local: RunFolder
) -> None:
    _, planned = planned_again(local, local.path.with_name("asked"))
    prompts = [planned.prompts[row] for row in range(0, 128, 4)]

    async def ask() -> list[tuple[tuple[int, ...], Score]]:
        answers = await asyncio.gather(*(engines.candidate.complete(each, 0, SUITE.sampling) for each in prompts))
        scores = await asyncio.gather(
            *(engines.trusted.score(each, answer.token_ids) for each, answer in zip(prompts, answers, strict=True))
        )
        return [(tuple(answer.token_ids), score) for answer, score in zip(answers, scores, strict=True)]

    asked = pl.DataFrame({"condition_id": [each.condition_id for each in prompts]})
    first = pl.col("sample") == 0
    answered = read_parquet(part_path(local.completions("candidate"), 0)).filter(first)
    scored = read_parquet(part_path(local.scores("trusted", "candidate"), 0)).filter(first)
    both = asked.join(answered, on="condition_id", maintain_order="left").join(scored, on="condition_id")
    for (ids, score), row in zip(loop.run(ask()), both.iter_rows(named=True), strict=True):
        assert ids == tuple(row["token_ids"])
        np.testing.assert_allclose(score.logprobs_T, row["logprobs"], atol=1e-5)
        assert score.top_ids_TK.ravel().tolist() == row["top_ids"]
    assert engines.candidate.at_once == WORKERS * 192


@pytest.mark.slow
def test_two_workers_fill_the_run_folder_that_one_process_fills(
    loop: asyncio.Runner, engines: Engines, local: RunFolder
) -> None:
    pool = pool_in(engines)
    at_work: set[int] = set()
    folder, last = spread_again(
        loop, local, local.path.with_name("two"), engines, lambda _: at_work.update(p.number for p in busy(pool))
    )
    assert at_work == set(range(WORKERS))
    assert_same_rows(local, folder)
    assert_all_counted(last)


def test_a_worker_does_not_write_where_it_sees_another_folder_than_the_driver(
    loop: asyncio.Runner, engines: Engines, local: RunFolder
) -> None:
    pool = pool_in(engines)
    path = local.path.with_name("elsewhere")
    folder, _ = planned_again(local, path)
    with pytest.raises(InputError, match="does not see this run folder as the driver does\n  fix: name an --out on"):
        loop.run(pool.ask("run", 0, collect_block, 0, str(path), "another word"))
    assert not stored(folder.path)


def test_a_worker_that_is_killed_in_mid_run_changes_no_row(
    loop: asyncio.Runner, engines: Engines, local: RunFolder
) -> None:
    pool = pool_in(engines)
    pids = loop.run(_processes(pool))
    killed: list[int] = []

    def kill_one(progress: Progress) -> None:
        if not killed and 10 <= progress.done < CONDITIONS // 2:
            victim = max(busy(pool), key=lambda place: place.pending)
            killed.append(victim.number)
            os.kill(pids[victim.number], signal.SIGKILL)

    folder, last = spread_again(loop, local, local.path.with_name("killed"), engines, kill_one)
    assert killed
    assert pool.lost == last.restarts == 1
    assert_same_rows(local, folder)
    assert_all_counted(last)


async def _processes(pool: Pool) -> list[int]:
    return [await place.worker.run.remote(0, process) for place in pool.places]
