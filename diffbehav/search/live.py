"""The search's questions put to live engines: rendered, answered, scored, stored, and never asked twice."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl

from diffbehav.collect.answers import Answers, collect_condition
from diffbehav.collect.blocks import write_block
from diffbehav.collect.prompts import Renderer
from diffbehav.compare.likelihoods import on_candidate_answers, on_trusted_answers
from diffbehav.compare.load import Batch, blocks_of
from diffbehav.compare.screen import CHANNELS
from diffbehav.records import Prompt, Sampling
from diffbehav.search.space import Space
from diffbehav.serve import Engines
from diffbehav.store import RunFolder, part_path
from diffbehav.suite import Suite, conditions

Key = tuple[str, int]
"""Condition id and sample."""
IN_FLIGHT = 192


class Live:
    """An Ask over two engines. The n-th question about a cell is answered by a sample of its own.

    Answers are stored in the folder `search` of the run in the format of the run itself. A search that begins again
    with the same seed asks the same questions, and those that are stored cost nothing.
    """

    def __init__(
        self, run: RunFolder, suite: Suite, space: Space, engines: Engines, renderer: Renderer, *, floor: float
    ) -> None:
        self._folder = run.asked
        self._suite = suite
        self._space = space
        self._engines = engines
        self._renderer = renderer
        self._floor = floor
        self._asked: Counter[str] = Counter()
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._parts = _stored_parts(self._folder)
        self._known = _known(self._folder, range(self._parts), floor)

    async def __call__(self, digits_NA: np.ndarray) -> np.ndarray:
        """Raw values [H, N] of the screen's channels at these cells, NaN where one could not be measured."""
        drawn = list(conditions(self._suite, self._space.indices(digits_NA).tolist()))
        keys = [self._next(condition.id) for condition in drawn]
        missing = [place for place, key in enumerate(keys) if key not in self._known]
        if missing:
            prompts = {
                place: Prompt(drawn[place].id, self._renderer.prompt_ids(drawn[place].messages, drawn[place].tools))
                for place in missing
            }
            answers = await asyncio.gather(*(self._answer(prompts[place], keys[place][1]) for place in missing))
            await asyncio.to_thread(write_block, self._folder, self._parts, answers)
            self._known |= _known(self._folder, [self._parts], self._floor)
            self._parts += 1
        nothing = np.full(len(CHANNELS), np.nan)
        return np.stack([self._known.get(key, nothing) for key in keys], axis=1)

    def _next(self, condition: str) -> Key:
        """The screen has the first samples of its conditions, so the search begins behind them."""
        sample = self._suite.sampling.n + self._asked[condition]
        self._asked[condition] += 1
        return condition, sample

    async def _answer(self, prompt: Prompt, sample: int) -> Answers:
        async with self._slots:
            return await collect_condition(
                prompt, self._engines, self._sampling, samples=[sample], replicated=False, on_answer=_ignore
            )

    @property
    def _sampling(self) -> Sampling:
        return self._suite.sampling


def _ignore(side: str, tokens: int) -> None:
    del side, tokens


def _stored_parts(folder: RunFolder) -> int:
    """Whole parts of an earlier search: the last folder that a part is written to decides."""
    number = 0
    while part_path(folder.scores("trusted", "trusted"), number).exists():
        number += 1
    return number


def _known(folder: RunFolder, numbers: Sequence[int], floor: float) -> dict[Key, np.ndarray]:
    found: dict[Key, np.ndarray] = {}
    for batch in blocks_of(folder, list(numbers)):
        found |= _channels(batch, floor)
    return found


def _channels(batch: Batch, floor: float) -> dict[Key, np.ndarray]:
    own, _ = on_candidate_answers(batch.on_candidate, floor=floor)
    values = own | on_trusted_answers(batch.on_trusted, floor=floor)
    key = ["condition_id", "sample"]
    frames = {"candidate": batch.on_candidate.select(key), "trusted": batch.on_trusted.select(key)}
    wide = frames["candidate"].join(frames["trusted"], on=key, how="full", coalesce=True)
    for name in CHANNELS:
        side = "trusted" if name.startswith("tf_") else "candidate"
        column = frames[side].with_columns(pl.Series(values[name].value_N).alias(name))
        wide = wide.join(column, on=key, how="left")
    numbers = wide.select(CHANNELS).fill_null(np.nan).to_numpy()
    return dict(zip(wide.select(key).iter_rows(), numbers, strict=True))
