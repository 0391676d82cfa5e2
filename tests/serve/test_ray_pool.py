"""Workers of a real Ray cluster on this machine. Real models: tests/collect/test_vllm_ray.py."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from diffbehav.errors import InputError
from diffbehav.serve.ray_pool import Pool
from diffbehav.serve.ray_worker import Opener
from tests.serve.ray_work import REFUSED, no_model, one_engine, piece

pytestmark = pytest.mark.usefixtures("ray_cluster")
ON_A_CPU = {"num_cpus": 1, "num_gpus": 0}
WORKERS = 2


class Told:
    """What a spread says of its pieces."""

    def __init__(self, stop: asyncio.Event) -> None:
        self.stop = stop
        self.of: dict[int, list[str]] = {}
        self.dropped: list[int] = []

    def told(self, place: int, name: int, value: str) -> None:
        del place
        self.of.setdefault(name, []).append(value)

    @property
    def whole(self) -> list[int]:
        return sorted(name for name, values in self.of.items() if "whole" in values)


async def opened(opener: Opener) -> Pool:
    pool = Pool(opener, workers=WORKERS, resources=ON_A_CPU, leaving=False)
    try:
        await pool.started()
        await asyncio.gather(*(place.opening for place in pool.places))
    except BaseException:
        await pool.close()
        raise
    return pool


async def spread(pool: Pool, names: range, folder: Path, told: Told, *, seconds: float) -> None:
    await pool.spread(
        names, piece, str(folder), seconds, at_once=2, stop=told.stop, told=told.told, dropped=told.dropped.append
    )


def begun(folder: Path) -> dict[int, list[int]]:
    """Piece -> processes that began it."""
    found = {int(path.name): [int(line) for line in path.read_text().split()] for path in folder.iterdir()}
    return {name: by for name, by in found.items() if by}


@pytest.mark.parametrize("pieces", [12, 2])
def test_work_whose_worker_is_killed_is_begun_again_and_all_of_it_ends(tmp_path: Path, pieces: int) -> None:
    async def scene() -> tuple[Told, int, int]:
        pool, told = await opened(one_engine), Told(asyncio.Event())
        running = asyncio.create_task(spread(pool, range(pieces), tmp_path, told, seconds=1.5))
        while len(begun(tmp_path)) < min(pieces, 4):
            await asyncio.sleep(0.01)
        (killed, *_), *_ = begun(tmp_path).values()
        os.kill(killed, signal.SIGKILL)
        await running
        await pool.close()
        return told, killed, pool.lost

    told, killed, lost = asyncio.run(scene())
    again = {name: by for name, by in begun(tmp_path).items() if len(by) > 1}
    assert told.whole == list(range(pieces))
    assert len({by[0] for by in begun(tmp_path).values()}) >= WORKERS
    assert lost == 1
    assert sorted(told.dropped) == sorted(again)
    assert again and all(by[0] == killed and by[-1] != killed for by in again.values())
    assert all("half" in values for values in told.of.values() if len(values) > 1)


def test_a_pool_that_is_to_stop_finishes_what_it_began_and_begins_nothing_more(tmp_path: Path) -> None:
    async def scene() -> Told:
        pool, told = await opened(one_engine), Told(asyncio.Event())
        assert pool.at_once(0) == 7
        running = asyncio.create_task(spread(pool, range(40), tmp_path, told, seconds=0.5))
        while len(begun(tmp_path)) < 4:
            await asyncio.sleep(0.01)
        told.stop.set()
        await running
        await pool.close()
        return told

    told = asyncio.run(scene())
    assert told.whole == sorted(begun(tmp_path))
    assert 4 <= len(told.whole) < 40


def test_an_error_of_a_worker_arrives_as_it_was_raised_and_names_the_machine(tmp_path: Path) -> None:
    async def refused() -> None:
        pool = await opened(one_engine)
        try:
            await spread(pool, range(REFUSED, REFUSED + 1), tmp_path, Told(asyncio.Event()), seconds=0.1)
        finally:
            await pool.close()

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(refused())
    assert caught.group_contains(InputError, match="^piece 13 is refused$")
    with pytest.raises(InputError, match=r"^machine [\d.]+ of the Ray cluster: models/none: no such folder$"):
        asyncio.run(opened(no_model))
