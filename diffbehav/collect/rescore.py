"""The numeric floor of a run: how far stored log-probabilities move when the same answers are scored again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from diffbehav.collect.answers import SCORED
from diffbehav.collect.blocks import BLOCK
from diffbehav.collect.prompts import Prompts
from diffbehav.records import Prompt
from diffbehav.serve import Engine, Engines, NotServed
from diffbehav.store import RunFolder, part_path, read_parquet

EVERY = 20
"""One condition in so many is scored again: 5 %."""
MOST = 200
FLOOR_QUANTILE = 0.99


class Rescored(NamedTuple):
    """What scoring again showed."""

    floor: float
    """Nats: the 0.99 quantile of the absolute differences, over the tokens; 0 where nothing was scored again.

    Where the suite varies the engine, the largest over its levels."""
    tokens: int
    conditions: int


async def rescore(folder: RunFolder, prompts: Prompts, engines: Engines) -> Rescored:
    """Score 5 % of the conditions, at most 200, again: the first answer of both sides under both models.

    A replay cannot score anew, so what it stored is left out.
    """
    sides = dict(zip(SCORED, engines, strict=True))
    floors, tokens, conditions = [0.0], 0, 0
    for served in prompts.rows_of.values():
        rows = served[:: max(EVERY, len(prompts) // MOST)].tolist()
        found = await asyncio.gather(
            *(_moved(folder, prompts, rows, by, of, sides[by]) for by in SCORED for of in SCORED)
        )
        moved_M = np.concatenate([np.empty(0), *(each for pair in found for each in pair)])
        floors += [float(np.quantile(moved_M, FLOOR_QUANTILE))] if len(moved_M) else []
        tokens += len(moved_M)
        conditions += len(rows)
    return Rescored(max(floors), tokens, conditions)


async def _moved(
    folder: RunFolder, prompts: Prompts, rows: Sequence[int], by: str, of: str, engine: Engine
) -> list[np.ndarray]:
    """Absolute differences (nats) of the answers of side `of` under the model `by`, an array an answer."""
    wanted = {prompts[row].condition_id: prompts[row] for row in rows}
    pending = []
    for block in sorted({row // BLOCK for row in rows}):
        key = ["condition_id", "sample", "turn"]
        answers = read_parquet(part_path(folder.completions(of), block)).select(*key, "token_ids")
        scores = read_parquet(part_path(folder.scores(by, of), block)).select(*key, "logprobs")
        both = answers.join(scores, on=key)
        for condition, sample, turn, ids, stored in both.iter_rows():
            if condition in wanted and sample == turn == 0 and stored is not None:
                pending.append(_difference(engine, wanted[condition], ids, np.array(stored)))
    return [each for each in await asyncio.gather(*pending) if each is not None]


async def _difference(engine: Engine, prompt: Prompt, ids: Sequence[int], stored_T: np.ndarray) -> np.ndarray | None:
    # Under another name the prompt is the same work to a model, and nothing an engine remembers.
    try:
        again = await engine.score(replace(prompt, condition_id=f"{prompt.condition_id}/again"), ids)
    except NotServed:
        return None
    return np.asarray(np.abs(again.logprobs_T - stored_T))
