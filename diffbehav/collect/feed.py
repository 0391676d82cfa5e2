"""Feeds conditions to the engines without a pause between blocks and writes each block when it is whole."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from diffbehav.collect.answers import Answers, collect_condition
from diffbehav.collect.blocks import BLOCK, block_count, block_rows, count_answers, discard, is_collected, write_block
from diffbehav.collect.progress import Meter, OnProgress, Progress
from diffbehav.collect.prompts import Planned
from diffbehav.errors import DiffbehavError, Interrupted
from diffbehav.records import Sampling
from diffbehav.serve import Engines
from diffbehav.store import RunFolder

MOST_WAITING = 4
"""Blocks beside those in flight that may wait for their last answer or for the disk."""
WAITING_BYTES = 1 << 30
"""What these may take where answers are many and long; one is always let wait, so that the engines do not."""
TOKEN_BYTES = 640
"""Of a token on both sides, each scored by both models with the identifiers and log-probabilities of a top 20."""


class Counter(Protocol):
    """Hears of each answer and of each condition that is whole: a Meter, or what stands for it elsewhere."""

    def answered(self, side: str, tokens: int) -> None: ...
    def finished(self, *, restarts: int) -> None: ...


Spread = Callable[[Sequence[int], Meter, asyncio.Event], Awaitable[None]]
"""Collects these blocks elsewhere; after the event no further one is begun."""


async def feed(
    folder: RunFolder, planned: Planned, engines: Engines, sampling: Sampling, *, on_progress: OnProgress,
    spread: Spread | None = None,
) -> Progress:  # fmt: skip
    """Collect every block that is not whole yet; Interrupted when a signal asked to stop.

    `spread` collects blocks elsewhere, in place of this process.
    """
    total = len(planned.prompts)
    answers = total * sampling.n
    totals = {"candidate": answers, "trusted": answers, "replicate": int(planned.replicated.sum()) * sampling.n}
    meter = Meter(totals, total=total, events=folder.events, on_progress=on_progress)
    whole = [block for block in range(block_count(total)) if is_collected(folder, block, episodes=planned.episodes)]
    meter.resume(sum(len(block_rows(block, total)) for block in whole), count_answers(folder, whole))
    missing = sorted(set(range(block_count(total))) - set(whole))
    with _stop_on_signal() as stop:
        if spread is None:
            await feed_blocks(missing, folder, planned, engines, sampling, meter, stop)
        else:
            await spread(missing, meter, stop)
    last = meter.close()
    # A signal while the last blocks are in flight asks to stop before what follows, which can take longer.
    if stop.is_set() or last.done < total:
        raise Interrupted(
            f"stopped after {last.done:,} of {total:,} conditions; repeat the same command to go on from there"
        )
    return last


async def feed_blocks(
    blocks: Sequence[int], folder: RunFolder, planned: Planned, engines: Engines, sampling: Sampling, meter: Counter,
    stop: asyncio.Event,
) -> None:  # fmt: skip
    """Collect these blocks, each from its beginning, and write their parts; after `stop` no further one is begun."""
    try:
        await _feed_blocks(blocks, folder, planned, engines, sampling, meter, stop)
    except* DiffbehavError as errors:
        raise first_error(errors) from errors


async def _feed_blocks(
    blocks: Sequence[int], folder: RunFolder, planned: Planned, engines: Engines, sampling: Sampling, meter: Counter,
    stop: asyncio.Event,
) -> None:  # fmt: skip
    in_flight = engines.conditions_at_once(sampling.n)
    slots = asyncio.Semaphore(in_flight)
    unwritten = asyncio.Semaphore(-(-in_flight // BLOCK) + waiting(sampling, turns=planned.turns))

    async def one(row: int) -> Answers:
        try:
            result = await collect_condition(
                planned.prompt(row), engines, sampling, samples=range(sampling.n),
                replicated=bool(planned.replicated[row]), on_answer=meter.answered,
            )
        finally:
            slots.release()
        meter.finished(restarts=engines.restarts)
        return result

    async def write(block: int, tasks: list[asyncio.Task[Answers]]) -> None:
        answers = await asyncio.gather(*tasks)
        await asyncio.to_thread(write_block, folder, block, answers)
        unwritten.release()

    async with asyncio.TaskGroup() as group:
        for block in blocks:
            await unwritten.acquire()
            if stop.is_set():
                return
            discard(folder, block)
            tasks = []
            for row in block_rows(block, len(planned.prompts)):
                await slots.acquire()
                tasks.append(group.create_task(one(row)))
            group.create_task(write(block, tasks))


def waiting(sampling: Sampling, *, turns: int) -> int:
    """Blocks that may wait beside those in flight, of conversations of up to `turns` turns."""
    block = BLOCK * sampling.n * turns * sampling.max_tokens * TOKEN_BYTES
    return max(1, min(MOST_WAITING, WAITING_BYTES // block))


@contextmanager
def _stop_on_signal() -> Iterator[asyncio.Event]:
    """The first SIGINT or SIGTERM finishes the blocks in flight; a second SIGINT cancels at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    whole = asyncio.current_task()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def first() -> None:
        stop.set()
        if whole is not None:
            loop.add_signal_handler(signal.SIGINT, whole.cancel)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, first)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            # None stands for a handler that was not set from Python and cannot be set again from here.
            if before[number] is not None:
                signal.signal(number, before[number])


def first_error(errors: BaseExceptionGroup[DiffbehavError]) -> DiffbehavError:
    """The first of a group, which may hold groups."""
    error = errors.exceptions[0]
    return first_error(error) if isinstance(error, BaseExceptionGroup) else error
