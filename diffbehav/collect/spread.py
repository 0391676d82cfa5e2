"""Collects blocks in the workers of a Ray cluster, which write the parts themselves."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from diffbehav.collect.blocks import BLOCK
from diffbehav.collect.feed import Spread, feed_blocks, first_error
from diffbehav.collect.progress import Meter
from diffbehav.collect.prompts import Planned, plan
from diffbehav.errors import DiffbehavError, InputError
from diffbehav.records import Sampling
from diffbehav.serve import Engine, Engines, Renderer, pool_of
from diffbehav.store import RunFolder, disk_error, read_settings
from diffbehav.suite import suite_from_resolved

LEAST = 2
"""Blocks in each worker: while the last conditions of one come in, the next keeps the engines full."""
_TOKEN = ".workers"


class Counts(NamedTuple):
    """How far a block has come."""

    conditions: int = 0
    answers: Mapping[str, int] = {}
    tokens: Mapping[str, int] = {}
    restarts: int = 0
    """Of the engines of its worker."""


def spread_over(engines: Engines, folder: RunFolder, *, samples: int) -> Spread | None:
    """Collects in the workers that hold both sides; None where this process has to ask.

    `samples`: answers of each side to a condition.
    """
    pool = pool_of(engines)
    if pool is None:
        return None
    lanes = max(LEAST, -(-engines.conditions_at_once(samples) // (BLOCK * len(pool.places))))

    async def spread(blocks: Sequence[int], meter: Meter, stop: asyncio.Event) -> None:
        token, word, seen = folder.path / _TOKEN, secrets.token_hex(16), _Seen(meter)
        _write(token, word)
        try:
            await pool.spread(
                blocks, collect_block, str(folder.path.resolve()), word, at_once=lanes, stop=stop,
                told=lambda place, block, counts: seen.told(place, block, counts, lost=pool.lost), dropped=seen.dropped,
            )  # fmt: skip
        except* DiffbehavError as errors:
            raise first_error(errors) from errors
        finally:
            token.unlink(missing_ok=True)

    return spread


async def collect_block(
    engines: Sequence[Engine], tell: Callable[[Counts], None], block: int, run: str, word: str
) -> Counts:
    """Collect a block in a worker and write its parts; InputError where the worker does not see the driver's folder."""
    folder = RunFolder(Path(run))
    _check_shared(folder, word)
    planned, sampling = _planned(folder.path, word)
    counted = _Counted(tell)
    await feed_blocks([block], folder, planned, Engines(*engines), sampling, counted, asyncio.Event())
    return counted.counts


class _Counted:
    """What a Meter hears, in a worker."""

    def __init__(self, tell: Callable[[Counts], None]) -> None:
        self._tell = tell
        self.counts = Counts()

    def answered(self, side: str, tokens: int) -> None:
        counts = self.counts
        self.counts = counts._replace(
            answers={**counts.answers, side: counts.answers.get(side, 0) + 1},
            tokens={**counts.tokens, side: counts.tokens.get(side, 0) + tokens},
        )

    def finished(self, *, restarts: int) -> None:
        self.counts = self.counts._replace(conditions=self.counts.conditions + 1, restarts=restarts)
        self._tell(self.counts)


class _Seen:
    """Tells a Meter what has been added since the last time; what was lost with a worker is taken back."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._of: dict[int, Counts] = {}
        self._restarts: dict[int, int] = {}

    def told(self, place: int, block: int, counts: Counts, *, lost: int) -> None:
        before = self._of.get(block, Counts())
        if counts.conditions < before.conditions:
            # Asked before the block had ended, answered after.
            return
        self._of[block] = counts
        self._restarts[place] = counts.restarts
        self._add(counts, before, restarts=lost + sum(self._restarts.values()))

    def dropped(self, block: int) -> None:
        self._add(Counts(), self._of.pop(block, Counts()), restarts=None)

    def _add(self, now: Counts, before: Counts, *, restarts: int | None) -> None:
        answers, tokens = Counter(now.answers), Counter(now.tokens)
        answers.subtract(before.answers)
        tokens.subtract(before.tokens)
        self._meter.add(now.conditions - before.conditions, answers, tokens, restarts=restarts)


def _write(token: Path, word: str) -> None:
    try:
        token.write_text(word, encoding="utf-8")
    except OSError as error:
        raise disk_error(error, token) from error


def _check_shared(folder: RunFolder, word: str) -> None:
    token = folder.path / _TOKEN
    try:
        seen = token.read_text(encoding="utf-8")
    except OSError:
        seen = ""
    if seen != word:
        raise InputError(
            f"{folder.path}: a worker of the Ray cluster does not see this run folder as the driver does\n"
            "  fix: name an --out on a file system that all machines of the cluster mount at the same path"
        )


@cache
def _planned(run: Path, word: str) -> tuple[Planned, Sampling]:
    """What the driver has planned in `run`; another `word` is another run there."""
    del word
    folder = RunFolder(run)
    settings = read_settings(folder)
    suite = suite_from_resolved(settings["suite"], name=str(folder.settings))
    renderer = Renderer(Path(settings["sides"]["trusted"]["path"]))
    return plan(suite, renderer, folder.conditions, limit=None, context=0), suite.sampling
