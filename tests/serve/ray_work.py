"""What workers are asked in tests: pieces of work that ask no engine, each of which leaves a line when it is begun."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from diffbehav.errors import InputError
from diffbehav.serve import Engine, ReplayEngine

REFUSED = 13


class Unasked(ReplayEngine):
    """Stands for an engine that took its time to open."""

    def __init__(self) -> None:
        pass

    @property
    def at_once(self) -> int:
        return 7

    async def close(self) -> None:
        pass


async def one_engine() -> list[Engine]:
    await asyncio.sleep(1)
    return [Unasked()]


async def no_model() -> list[Engine]:
    raise InputError("models/none: no such folder")


async def piece(engines: Sequence[Engine], tell: Callable[[str], None], name: int, folder: str, seconds: float) -> str:
    """Says `half` at half time, and `whole` at the end."""
    assert len(engines) == 1
    if name == REFUSED:
        raise InputError("piece 13 is refused")
    with Path(folder, str(name)).open("a", encoding="utf-8") as log:
        log.write(f"{os.getpid()}\n")
    tell("half")
    await asyncio.sleep(seconds)
    return "whole"


async def process(engines: Sequence[Engine], tell: Callable[[str], None]) -> int:
    """That of the worker."""
    del engines, tell
    return os.getpid()
