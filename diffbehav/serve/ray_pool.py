"""Workers of a Ray cluster that do the same thing; one that is lost is replaced, and what it held is asked again.

Each is an actor of its own and none of Ray Data's pool: such an actor can be asked for nothing but its batches and ends
with the data set, so engines would start anew for the checks, the blocks, the rescoring and a search.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from diffbehav.errors import DiffbehavError, InfrastructureError
from diffbehav.serve.ray_cluster import leave
from diffbehav.serve.ray_worker import Opener, Work, Worker, installed

MAX_LOST = 3
"""Workers that one place may lose in a row, without an answer in between."""
_PLACED_WITHIN = 600.0
"""Seconds in which a cluster makes room for a first worker; one that grows by itself takes minutes."""
_CLOSED_WITHIN = 15.0
_ASKED_HOW_FAR_EVERY = 0.5
_CALLS_AT_ONCE = 4096


class _Lost(Exception):
    """The worker ended, or can no longer be reached."""


class Place:
    """Room for one worker, whichever holds it at the time."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pending = 0
        self.lost = 0
        self.placed = False
        self.at_once: Sequence[int] = ()
        """Requests that keep each engine of its worker busy; empty until one has been opened."""
        self.worker: Any = None
        self.opening: asyncio.Task[Any]

    @property
    def ready(self) -> bool:
        """Whether its worker can be asked now."""
        return self.opening.done() and not self.opening.cancelled() and self.opening.exception() is None


class Pool:
    """Made in the event loop in which it is asked."""

    def __init__(self, opener: Opener, *, workers: int, resources: dict[str, Any], leaving: bool) -> None:
        """`resources` of one worker, as options of a Ray actor. `leaving`: the cluster is left when this closes."""
        self._leaving = leaving
        self._closed = False
        self._actor = ray.remote(**resources, max_concurrency=_CALLS_AT_ONCE, scheduling_strategy="SPREAD")(Worker)
        self._arguments = (opener, installed())
        self.lost = 0
        self.places = [Place(number) for number in range(workers)]
        for place in self.places:
            place.opening = asyncio.create_task(self._open(place))

    async def started(self) -> None:
        """Wait for a first worker; the others join when they are ready."""
        openings = [place.opening for place in self.places]
        done, _ = await asyncio.wait(openings, timeout=_PLACED_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        if not done and not any(place.placed for place in self.places):
            raise InfrastructureError(
                f"the Ray cluster had no room for a worker within {_PLACED_WITHIN / 60:.0f} minutes: see `ray status`"
            )
        await self._any_ready()

    def at_once(self, engine: int) -> int:
        """Requests that keep the engine of this number busy in the worker that takes most; known once one is open."""
        return max(place.at_once[engine] for place in self.places if place.at_once)

    async def ask(self, method: str, *args: Any, at: Place | None = None) -> tuple[Any, Place]:
        """What a method of a worker returns, and where; `at` this place if it can be, else where least is pending."""
        while True:
            place = at if at is not None and at.ready else await self._any_ready()
            try:
                return await self._asked(place, method, *args), place
            except _Lost:
                continue

    async def spread(
        self, names: Sequence[int], work: Work[...], *args: Any, at_once: int, stop: asyncio.Event,
        told: Callable[[int, int, Any], None], dropped: Callable[[int], None],
    ) -> None:  # fmt: skip
        """Run `work(engines, tell, name, *args)` for every name, `at_once` in each worker.

        `told` gets the number of the place, the name and what the work has told; its result is the last of it. Work
        whose worker is lost is `dropped` and begins again. After `stop` nothing more is begun.
        """
        waiting: asyncio.Queue[int] = asyncio.Queue()
        for name in names:
            waiting.put_nowait(name)

        async def lane(place: Place) -> None:
            while True:
                await asyncio.shield(place.opening)
                name = await waiting.get()
                # Its worker may have been lost while there was nothing to do, and the next one is not open yet.
                whole = place.ready and await run(place, name)
                if not (whole or stop.is_set()):
                    waiting.put_nowait(name)
                waiting.task_done()

        async def run(place: Place, name: int) -> bool:
            try:
                told(place.number, name, await self._asked(place, "run", name, work, name, *args))
            except _Lost:
                dropped(name)
                return False
            return True

        async def drain() -> None:
            await stop.wait()
            while not waiting.empty():
                waiting.get_nowait()
                waiting.task_done()

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(lane(place)) for _ in range(at_once) for place in self.places]
            tasks += [group.create_task(self._listen(place, told)) for place in self.places]
            tasks.append(group.create_task(drain()))
            await waiting.join()
            for each in tasks:
                each.cancel()

    async def close(self) -> None:
        """End the workers and their engines, and leave the cluster; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        ready = [place.worker for place in self.places if place.ready]
        for place in self.places:
            place.opening.cancel()
        await asyncio.gather(*(place.opening for place in self.places), return_exceptions=True)
        await asyncio.gather(*map(_end_engines, ready))
        for place in self.places:
            if place.worker is not None:
                ray.kill(place.worker)
        if self._leaving:
            await asyncio.to_thread(leave)

    async def _open(self, place: Place) -> Any:
        while True:
            place.placed = False
            place.worker = worker = self._actor.remote(*self._arguments)
            try:
                await _answer(worker.here.remote())
                place.placed = True
                place.at_once = await _answer(worker.open.remote())
                return worker
            except _Lost as error:
                self._count_loss(place, error)

    async def _asked(self, place: Place, method: str, *args: Any) -> Any:
        worker = place.worker
        place.pending += 1
        try:
            answer = await _answer(getattr(worker, method).remote(*args))
        except _Lost as error:
            if place.worker is worker and place.ready:
                self._count_loss(place, error)
                place.opening = asyncio.create_task(self._open(place))
            raise
        finally:
            place.pending -= 1
        place.lost = 0
        return answer

    def _count_loss(self, place: Place, error: Exception) -> None:
        """What is left of the worker is ended, so that it writes nothing beside its successor."""
        self.lost += 1
        place.lost += 1
        ray.kill(place.worker)
        if place.lost > MAX_LOST:
            raise InfrastructureError(
                f"{place.lost} workers of the Ray cluster were lost one after the other, the last of them: {error}\n"
                "  A worker that was killed ran out of memory or lost its machine. The same command resumes."
            )

    async def _any_ready(self) -> Place:
        """The place with the least pending calls; what keeps any of them from opening is raised."""
        while True:
            openings = [place.opening for place in self.places]
            for opening in openings:
                if opening.done():
                    opening.result()
            if ready := [place for place in self.places if place.ready]:
                return min(ready, key=lambda place: place.pending)
            await asyncio.wait(openings, return_when=asyncio.FIRST_COMPLETED)

    async def _listen(self, place: Place, told: Callable[[int, int, Any], None]) -> None:
        while True:
            await asyncio.sleep(_ASKED_HOW_FAR_EVERY)
            await asyncio.shield(place.opening)
            try:
                news = await _answer(place.worker.told.remote())
            except _Lost:
                continue
            for name, value in news.items():
                told(place.number, name, value)


async def _end_engines(worker: Any) -> None:
    """Engines that do not end in time are killed with their worker."""
    with suppress(_Lost, TimeoutError, DiffbehavError):
        await asyncio.wait_for(_answer(worker.close.remote()), _CLOSED_WITHIN)


async def _answer(reference: Any) -> Any:
    """What a worker returned, or the error that it raised; _Lost where it could not say."""
    try:
        return await reference
    except RayTaskError as error:
        if isinstance(error.cause, DiffbehavError):
            raise error.cause from None
        raise
    except RayError as error:
        raise _Lost(str(error).strip().splitlines()[0]) from error
