"""One engine for a whole series: a base that is served with every adapter of the series, from run to run."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from diffbehav.errors import DiffbehavError
from diffbehav.serve.engine import Engine, Engines
from diffbehav.serve.local import OfLevel, Serving, engine_over, open_engine, open_engines, speech_of, start
from diffbehav.serve.placement import TOGETHER, Placement
from diffbehav.serve.sides import ONE_WAY, OneSide, Settings, Setup

if TYPE_CHECKING:
    from diffbehav.serve.served_model import ServedModel


class Series:
    """Serves an adapter beside its base without starting anything where they were served before.

    A context manager; `serving` opens engines inside it. Closing an engine leaves what is behind it open: that ends
    with the series, or where other models, settings or a longer context are asked for.
    """

    def __init__(self, base: Path, adapters: Sequence[Path]) -> None:
        self._base = base.resolve()
        self._numbers = {adapter.resolve(): number for number, adapter in enumerate(adapters, start=1)}
        self._runner = asyncio.Runner()
        self._models: OfLevel = {}
        self._setup: Setup | None = None
        self.starts = 0

    @property
    def serving(self) -> Serving:
        """How jobs open engines in this series, and the event loop that they need for it."""
        return Serving(self._engine, self._engines, run=self._runner.run)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._end())
        self._runner.close()

    async def _engine(self, folder: Path, adapter: Path | None, **options: Any) -> Engine:
        """As `open_engine`."""
        await self._end()
        return await open_engine(folder, adapter, **options)

    async def _engines(
        self, candidate: Path, adapter: Path | None, trusted: Path, *, max_model_len: int, top_k: int,
        tool_format: str, settings: Settings = ONE_WAY, placement: Placement = TOGETHER,
    ) -> Engines:  # fmt: skip
        """As `open_engines`."""
        setup = Setup(max_model_len, top_k, tool_format, settings, placement)
        number = None if adapter is None else self._numbers.get(adapter.resolve())
        of_base = {candidate.resolve(), trusted.resolve()} == {self._base} and placement == TOGETHER
        speech = speech_of(trusted, setup)
        if adapter is None or number is None or not of_base or not await self._have(setup):
            await self._end()
            return await open_engines(candidate, adapter, trusted, **setup._asdict())
        return Engines(
            engine_over(self._models, speech, setup, adapter=(number, adapter), keep_model=True),
            engine_over(self._models, speech, setup, adapter=None, keep_model=True),
        )

    async def _have(self, setup: Setup) -> bool:
        """Have the base open with all adapters and room for what is asked; False where they cannot be served together.

        Then each is served alone from there on, so that one of them does not keep the others from being asked.
        """
        well = all(model.is_well for model in self._models.values())
        if well and self._setup is not None and _covers(self._setup, setup):
            return True
        await self._end()
        try:
            (self._models,) = await start([OneSide("candidate", self._base, list(self._numbers))], setup)
        except DiffbehavError:
            self._numbers = {}
            return False
        self._setup = setup
        self.starts += 1
        return True

    async def _end(self) -> None:
        models: list[ServedModel] = list(self._models.values())
        self._models, self._setup = {}, None
        await asyncio.gather(*(model.close() for model in models))


def _covers(served: Setup, asked: Setup) -> bool:
    """Whether what is served so has room for what is asked, and does all else in the same way."""
    enough = served.max_model_len >= asked.max_model_len and served.top_k >= asked.top_k
    return enough and (served.settings, served.placement) == (asked.settings, asked.placement)

