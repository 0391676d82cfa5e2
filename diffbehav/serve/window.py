"""How many requests a model server is sent at once: as many as it bears."""

import asyncio
import time


class Window:
    """Halves when the server has had too much, and grows by one for every window of answers."""

    def __init__(self, *, first: int, most: int) -> None:
        self._most = most
        self._width = float(first)
        self._held = 0
        self._changed = asyncio.Condition()
        self._narrowed = 0.0
        self._closed_until = 0.0

    @property
    def width(self) -> int:
        """Requests that may be under way."""
        return int(self._width)

    async def enter(self) -> float:
        """Wait for a place; returns the time at which it was had."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._held < self.width)
            self._held += 1
        try:
            while (wait := self._closed_until - time.monotonic()) > 0:
                await asyncio.sleep(wait)
        except asyncio.CancelledError:
            await self.leave()
            raise
        return time.monotonic()

    async def leave(self) -> None:
        """Give the place back."""
        self._held -= 1
        async with self._changed:
            self._changed.notify_all()

    def answered(self) -> None:
        """A request came back well."""
        self._width = min(self._most, self._width + 1 / self._width)

    def refused(self, entered: float, *, wait: float) -> None:
        """A request that entered then was too much; nobody is let in for `wait` seconds.

        Requests that entered before the last narrowing are of the crowd that caused it.
        """
        self._closed_until = max(self._closed_until, time.monotonic() + wait)
        if entered >= self._narrowed:
            self._narrowed = time.monotonic()
            self._width = max(1.0, self._width / 2)
