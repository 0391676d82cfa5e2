"""Work asked for twice is done once, and a failure is not remembered."""

import asyncio

import pytest

from diffbehav.serve.memo import Memo


class Work:
    """Counts how often it was started, and waits to be let go."""

    def __init__(self) -> None:
        self.started = 0
        self.gate = asyncio.Event()
        self.failures = 0

    async def run(self) -> int:
        self.started += 1
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise OSError("lost")
        return 42


def test_two_who_ask_at_once_and_one_who_asks_later_share_the_work() -> None:
    async def scenario() -> None:
        memo, work = Memo[int](size=4), Work()
        asking = [asyncio.ensure_future(memo.get("key", work.run)) for _ in range(2)]
        await asyncio.sleep(0)
        work.gate.set()
        assert await asyncio.gather(*asking) == [42, 42]
        assert await memo.get("key", work.run) == 42
        assert work.started == 1

    asyncio.run(scenario())


def test_a_failure_reaches_everyone_who_waits_and_is_tried_again_afterwards() -> None:
    async def scenario() -> None:
        memo, work = Memo[int](size=4), Work()
        work.failures = 1
        work.gate.set()
        results = await asyncio.gather(*(memo.get("key", work.run) for _ in range(2)), return_exceptions=True)
        assert [type(result) for result in results] == [OSError, OSError]
        assert await memo.get("key", work.run) == 42

    asyncio.run(scenario())


def test_cancelling_one_who_waits_does_not_cancel_the_others() -> None:
    async def scenario() -> None:
        memo, work = Memo[int](size=4), Work()
        first, second = (asyncio.ensure_future(memo.get("key", work.run)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        work.gate.set()
        assert await second == 42
        assert work.started == 1

    asyncio.run(scenario())


def test_the_oldest_result_is_forgotten_first_and_running_work_never() -> None:
    async def scenario() -> None:
        memo, quick, slow = Memo[int](size=2), Work(), Work()
        quick.gate.set()
        running = asyncio.ensure_future(memo.get("slow", slow.run))
        await asyncio.sleep(0)
        for key in ("a", "b", "c"):
            await memo.get(key, quick.run)
        slow.gate.set()
        assert await asyncio.gather(running, memo.get("slow", slow.run)) == [42, 42]
        assert slow.started == 1
        await memo.get("d", quick.run)
        await memo.get("e", quick.run)
        await memo.get("a", quick.run)
        assert quick.started == 6

    asyncio.run(scenario())


def test_a_value_put_in_is_used_instead_of_the_work_and_never_replaces_one_that_is_known() -> None:
    async def scenario() -> None:
        memo, work = Memo[int](size=2), Work()
        memo.put("key", 7)
        memo.put("key", 8)
        assert await memo.get("key", work.run) == 7
        assert work.started == 0

    asyncio.run(scenario())


def test_closing_cancels_what_runs() -> None:
    async def scenario() -> None:
        memo, work = Memo[int](size=2), Work()
        asking = asyncio.ensure_future(memo.get("key", work.run))
        await asyncio.sleep(0)
        await memo.close()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(scenario())
