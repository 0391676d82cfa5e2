"""A server is sent as many requests at once as it bears."""

import asyncio

from diffbehav.serve.window import Window


def test_never_more_requests_are_under_way_than_the_window_is_wide() -> None:
    under_way, most = 0, 0

    async def one(window: Window) -> None:
        nonlocal under_way, most
        await window.enter()
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        await window.leave()

    async def all_of_them() -> None:
        window = Window(first=3, most=8)
        await asyncio.gather(*(one(window) for _ in range(50)))

    asyncio.run(all_of_them())
    assert (most, under_way) == (3, 0)


def test_a_crowd_that_is_refused_together_narrows_the_window_once_and_answers_widen_it_to_its_most() -> None:
    async def crowd() -> list[int]:
        window = Window(first=8, most=8)
        entered = [await window.enter() for _ in range(8)]
        widths = []
        for at in entered:
            window.refused(at, wait=0.0)
            await window.leave()
        widths.append(window.width)
        window.refused(await window.enter(), wait=0.0)
        widths.append(window.width)
        for _ in range(200):
            window.answered()
        return [*widths, window.width]

    assert asyncio.run(crowd()) == [4, 2, 8]


def test_a_place_that_is_cancelled_while_the_window_is_closed_is_given_back() -> None:
    async def cancelled() -> int:
        window = Window(first=1, most=1)
        window.refused(0.0, wait=3600.0)
        task = asyncio.create_task(window.enter())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return window._held

    assert asyncio.run(cancelled()) == 0
