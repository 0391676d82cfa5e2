"""Two sides that have one GPU by turns: while one answers, the other sleeps and holds no memory there."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from diffbehav.records import Completion, Prompt, Sampling, Score
from diffbehav.serve.engine import Engine

SLAB = 2048
"""Answers asked for at a time: a turn gives all of them, so that falling asleep and waking up is a small part."""
_MOST = 4 * SLAB
_SETTLE = 0.05
"""Seconds. The next turn of a conversation is asked for a little after the last answer is back."""


class Sleeper(Protocol):
    """What holds the memory of one side; asleep at first."""

    async def sleep(self) -> None: ...
    async def wake(self) -> None: ...


class Turns:
    """Lets requests of one side through until it has none left, then puts it to sleep and wakes the other.

    While the other side waits, at most `most` requests go through in one turn, so that each side comes to its turn.
    """

    def __init__(self, sleepers: Mapping[str, Sleeper], *, most: int = _MOST, settle: float = _SETTLE) -> None:
        self._sleepers = sleepers
        self._most = most
        self._settle = settle
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {side: deque() for side in sleepers}
        self._awake: str | None = None
        self._running = 0
        self._let_in = 0
        self._switching = False
        self._look_again: asyncio.Task[None] | None = None
        self._failed: BaseException | None = None
        self.turns = 0

    @asynccontextmanager
    async def turn(self, side: str) -> AsyncIterator[None]:
        """Inside, `side` is awake and no other is."""
        await self._enter(side)
        try:
            yield
        finally:
            self._leave()

    async def close(self) -> None:
        """Wake nobody any more."""
        if self._look_again is not None:
            self._look_again.cancel()
            await asyncio.gather(self._look_again, return_exceptions=True)

    async def _enter(self, side: str) -> None:
        if self._failed is not None:
            raise self._failed
        if self._awake == side and not self._switching and (self._let_in < self._most or not self._next()):
            self._let_in += 1
            self._running += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting[side].append(place)
        self._look()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._leave()
            raise

    def _leave(self) -> None:
        self._running -= 1
        self._look()

    def _next(self) -> str | None:
        """The side that waits while it sleeps."""
        return next((side for side in self._waiting if side != self._awake and self._waits(side)), None)

    def _waits(self, side: str) -> bool:
        queue = self._waiting[side]
        while queue and queue[0].done():
            queue.popleft()
        return bool(queue)

    def _look(self) -> None:
        if self._running == 0 and self._look_again is None and any(map(self._waits, self._waiting)):
            self._look_again = asyncio.create_task(self._pass_on())
            self._look_again.add_done_callback(self._passed_on)

    async def _pass_on(self) -> None:
        if self._awake is not None and self._let_in < self._most:
            await asyncio.sleep(self._settle)
        if self._running == 0:
            await self._begin_turn(self._next() or self._awake)

    def _passed_on(self, task: asyncio.Task[None]) -> None:
        self._look_again, self._switching = None, False
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._fail(error)
        self._look()

    async def _begin_turn(self, side: str | None) -> None:
        if side is None:
            return
        self._switching = True
        if side != self._awake:
            if self._awake is not None:
                last, self._awake = self._awake, None
                await self._sleepers[last].sleep()
            await self._sleepers[side].wake()
            self._awake = side
            self.turns += 1
        self._let_in = 0
        other = self._next()
        while self._waits(side) and (self._let_in < self._most or other is None):
            self._waiting[side].popleft().set_result(None)
            self._let_in += 1
            self._running += 1

    def _fail(self, error: BaseException) -> None:
        self._failed = error
        for queue in self._waiting.values():
            for place in queue:
                if not place.done():
                    place.set_exception(error)
            queue.clear()


class Turned:
    """One of the two sides as an engine."""

    def __init__(self, engine: Engine, side: str, turns: Turns) -> None:
        self._engine = engine
        self._side = side
        self._turns = turns

    @property
    def restarts(self) -> int:
        """Those of the engine itself."""
        return self._engine.restarts

    @property
    def at_once(self) -> int:
        """Requests of a turn."""
        return SLAB

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """One sampled answer, when it is this side's turn."""
        async with self._turns.turn(self._side):
            return await self._engine.complete(prompt, sample, sampling)

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """Log-probabilities of a given answer, when it is this side's turn."""
        async with self._turns.turn(self._side):
            return await self._engine.score(prompt, answer_ids)

    async def close(self) -> None:
        """Close this side, asleep or not."""
        await self._turns.close()
        await self._engine.close()
