"""The search's questions put to live engines: rendered, answered, scored, stored, and never asked twice."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from diffbehav.collect.answers import Answers, collect_condition
from diffbehav.collect.blocks import write_block
from diffbehav.collect.episodes import Renderer, first_prompt
from diffbehav.compare.code_findings import DISTANCE, NO_CODE, code_findings
from diffbehav.compare.likelihoods import on_candidate_answers, on_trusted_answers
from diffbehav.compare.load import Batch, blocks_of
from diffbehav.compare.screen import CHANNELS
from diffbehav.compare.turns import episode_keys
from diffbehav.records import Condition, Prompt, Sampling
from diffbehav.search.space import Space
from diffbehav.serve import Engines
from diffbehav.stats.rule import Rule, matches
from diffbehav.store import CELLS, RunFolder, part_path, write_parquet
from diffbehav.suite import Suite, conditions

Key = tuple[str, int]
"""Condition id and sample."""
MEASURED = (*CHANNELS, DISTANCE)
"""What is asked of every condition: the channels of the screen, and last the findings in code."""


class Answered:
    """Questions about two engines whose answers are stored in one folder, in the format of a run.

    What is stored there, or in one of the `earlier` folders, is not asked again.
    """

    def __init__(
        self,
        folder: RunFolder,
        engines: Engines,
        prompt_of: Callable[[Condition], Prompt],
        sampling: Sampling,
        *,
        floor: float,
        earlier: Sequence[RunFolder] = (),
    ) -> None:
        self._folder = folder
        self._engines = engines
        self._prompt_of = prompt_of
        self._sampling = sampling
        self._floor = floor
        self._slots = asyncio.Semaphore(engines.conditions_at_once(1))
        stored = _stored_parts(folder)
        self._next_part = stored[-1] + 1 if stored else 0
        self._pending: dict[Key, asyncio.Future[None]] = {}
        self._known = _known(folder, stored, floor)
        for other in earlier:
            self._known |= _known(other, _stored_parts(other), floor)

    async def values(self, questions: Sequence[tuple[Condition, int]]) -> np.ndarray:
        """Values [H + 1, N] of MEASURED at samples of conditions, NaN where one could not be measured."""
        keys = [(condition.id, sample) for condition, sample in questions]
        missing = {key: each for key, each in zip(keys, questions, strict=True) if key not in self._known}
        others = {self._pending[key] for key in missing if key in self._pending}
        mine = {key: each for key, each in missing.items() if key not in self._pending}
        if mine:
            await self._ask(mine)
        await asyncio.gather(*others)
        nothing = np.full(len(MEASURED), np.nan)
        return np.array([self._known.get(key, nothing) for key in keys]).reshape(-1, len(MEASURED)).T

    async def _ask(self, questions: Mapping[Key, tuple[Condition, int]]) -> None:
        """Asked, written and known; who asks the same meanwhile waits for it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending |= dict.fromkeys(questions, done)
        part, self._next_part = self._next_part, self._next_part + 1
        try:
            prompts = [(self._prompt_of(condition), sample) for condition, sample in questions.values()]
            answers = await asyncio.gather(*(self._answer(*each) for each in prompts))
            await asyncio.to_thread(self._write, part, [condition for condition, _ in questions.values()], answers)
            self._known |= _known(self._folder, [part], self._floor)
            done.set_result(None)
        finally:
            for key in questions:
                del self._pending[key]
            # Without an answer the others must not go on as if it were missing.
            done.cancel()

    def _write(self, part: int, asked: Sequence[Condition], answers: Sequence[Answers]) -> None:
        """The cells first: the part is whole when the last of its scores is there."""
        cells: dict[str, Sequence[object]] = {
            "condition_id": [each.id for each in asked],
            "grid_index": [each.index for each in asked],
        }
        write_parquet(part_path(self._folder.cells, part), cells, CELLS)
        write_block(self._folder, part, answers)

    async def _answer(self, prompt: Prompt, sample: int) -> Answers:
        async with self._slots:
            return await collect_condition(
                prompt, self._engines, self._sampling, samples=[sample], replicated=False, on_answer=_ignore
            )


class Live:
    """An Ask over engines. The n-th question about a cell is answered by a sample of its own.

    A search that begins again with the same seed asks the same questions, and those that are stored cost nothing.
    """

    def __init__(
        self, suite: Suite, space: Space, outside: Answered, inside: Answered | None = None, rule: Rule | None = None
    ) -> None:
        """Questions inside `rule` go to `inside`, and all others to `outside`."""
        self._suite = suite
        self._space = space
        self._places = (outside, inside or outside)
        self._rule = rule
        self._drawn: Counter[str] = Counter()

    async def __call__(self, digits_NA: np.ndarray) -> np.ndarray:
        """Values [H + 1, N] of MEASURED at these cells, NaN where one could not be measured."""
        drawn = conditions(self._suite, self._space.indices(digits_NA).tolist())
        questions = [(condition, self._next(condition.id)) for condition in drawn]
        inside_N = np.zeros(len(questions), bool)
        if self._rule is not None:
            inside_N = matches(self._rule, self._space.codes(digits_NA))
        values_HN = np.empty((len(MEASURED), len(questions)))
        for place, of in zip(self._places, (~inside_N, inside_N), strict=True):
            values_HN[:, of] = await place.values([questions[n] for n in np.flatnonzero(of)])
        return values_HN

    def _next(self, condition: str) -> int:
        """The screen has the first samples of its conditions, so the search begins behind them."""
        sample = self._suite.sampling.n + self._drawn[condition]
        self._drawn[condition] += 1
        return sample


def rendered(renderer: Renderer) -> Callable[[Condition], Prompt]:
    """The prompt of a condition, as a run sends it."""
    return lambda condition: first_prompt(condition, renderer)


def _ignore(side: str, tokens: int) -> None:
    del side, tokens


def _stored_parts(folder: RunFolder) -> list[int]:
    """Numbers of the whole parts of an earlier search: the last folder that a part is written to decides."""
    last = folder.scores("trusted", "trusted")
    return sorted(int(path.stem.removeprefix("part-")) for path in last.glob("part-*.parquet"))


def _known(folder: RunFolder, numbers: Sequence[int], floor: float) -> dict[Key, np.ndarray]:
    found: dict[Key, np.ndarray] = {}
    for batch in blocks_of(folder, list(numbers)):
        found |= _channels(batch, floor)
    return found


def _channels(batch: Batch, floor: float) -> dict[Key, np.ndarray]:
    own, _ = on_candidate_answers(batch.on_candidate, floor=floor)
    values = own | on_trusted_answers(batch.on_trusted, floor=floor)
    frames = {"candidate": episode_keys(batch.on_candidate), "trusted": episode_keys(batch.on_trusted)}
    key = ["condition_id", "sample"]
    wide = pl.concat(frames.values()).unique(maintain_order=True)
    for name in CHANNELS:
        frame = frames["trusted" if name.startswith("tf_") else "candidate"]
        column = frame.with_columns(pl.Series(name, values[name].value_N, nan_to_null=True))
        wide = wide.join(column, on=key, how="left", maintain_order="left")
    wide = wide.join(_excess(batch), on=key, how="left", maintain_order="left")
    numbers = wide.select(MEASURED).fill_null(np.nan).to_numpy()
    return dict(zip(wide.select(key).iter_rows(), numbers, strict=True))


def _excess(batch: Batch) -> pl.DataFrame:
    """condition_id, sample and the findings in code: 0 in an answer without code, NULL where code could not be read."""
    coded = code_findings(batch.completions)
    measured = coded.values[DISTANCE]
    value_N = np.where(measured.reason_N == NO_CODE, 0.0, measured.value_N)
    return coded.keys.with_columns(pl.Series(DISTANCE, value_N, nan_to_null=True))
