"""Work that is asked for twice and done once."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Memo(Generic[Value]):
    """Shares running work between those who ask for it, and remembers the last `size` results."""

    def __init__(self, *, size: int) -> None:
        self._size = size
        self._tasks: OrderedDict[Hashable, asyncio.Future[Value]] = OrderedDict()

    async def get(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """The value of `key`; `work` runs only where no one asked before, and again after a failure."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(work())
            self._forget_oldest()
        self._tasks.move_to_end(key)
        try:
            # One asker that is cancelled must not cancel the work the others wait for.
            return await asyncio.shield(task)
        finally:
            if task.done() and (task.cancelled() or task.exception()) and self._tasks.get(key) is task:
                del self._tasks[key]

    def put(self, key: Hashable, value: Value) -> None:
        """Remember a value that came up elsewhere."""
        if key not in self._tasks:
            known = asyncio.get_running_loop().create_future()
            known.set_result(value)
            self._tasks[key] = known
            self._forget_oldest()

    async def close(self) -> None:
        """Cancel what still runs."""
        running = [task for task in self._tasks.values() if not task.done()]
        for task in running:
            task.cancel()
        # The failed ones too, whose askers may all have been cancelled before they heard of it.
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    def _forget_oldest(self) -> None:
        while len(self._tasks) > self._size and next(iter(self._tasks.values())).done():
            self._tasks.popitem(last=False)
