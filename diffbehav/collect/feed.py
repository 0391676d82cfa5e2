"""Feeds conditions to the engines without a pause between blocks and writes each block when it is whole."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from diffbehav.collect.answers import Answers, collect_condition
from diffbehav.collect.blocks import block_count, block_rows, count_answers, discard, is_collected, write_block
from diffbehav.collect.progress import Meter, OnProgress, Progress
from diffbehav.collect.prompts import Planned
from diffbehav.errors import DiffbehavError, Interrupted
from diffbehav.records import Sampling
from diffbehav.serve import Engines
from diffbehav.store import RunFolder

IN_FLIGHT = 192
"""Conditions asked at a time: enough to keep two engines full, few enough to finish quickly on an interrupt."""


async def feed(
    folder: RunFolder, planned: Planned, engines: Engines, sampling: Sampling, *, on_progress: OnProgress
) -> Progress:
    """Collect every block that is not whole yet; Interrupted when a signal asked to stop."""
    total = len(planned.prompts)
    answers = total * sampling.n
    totals = {"candidate": answers, "trusted": answers, "replicate": int(planned.replicated.sum()) * sampling.n}
    meter = Meter(totals, total=total, events=folder.events, on_progress=on_progress)
    episodes = planned.openings is not None
    whole = [block for block in range(block_count(total)) if is_collected(folder, block, episodes=episodes)]
    meter.resume(sum(len(block_rows(block, total)) for block in whole), count_answers(folder, whole))
    missing = sorted(set(range(block_count(total))) - set(whole))
    with _stop_on_signal() as stop:
        try:
            await _feed_blocks(missing, folder, planned, engines, sampling, meter, stop)
        except* DiffbehavError as errors:
            raise _first(errors) from errors
    last = meter.close()
    if last.done < total:
        raise Interrupted(
            f"stopped after {last.done:,} of {total:,} conditions; repeat the same command to go on from there"
        )
    return last


async def _feed_blocks(
    blocks: list[int], folder: RunFolder, planned: Planned, engines: Engines, sampling: Sampling, meter: Meter,
    stop: asyncio.Event,
) -> None:
    slots = asyncio.Semaphore(IN_FLIGHT)

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

    async with asyncio.TaskGroup() as group:
        for block in blocks:
            if stop.is_set():
                return
            discard(folder, block)
            tasks = []
            for row in block_rows(block, len(planned.prompts)):
                await slots.acquire()
                tasks.append(group.create_task(one(row)))
            group.create_task(write(block, tasks))


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
            signal.signal(number, before[number])


def _first(errors: BaseExceptionGroup[DiffbehavError]) -> DiffbehavError:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
