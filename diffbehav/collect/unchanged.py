"""Whether a server still serves what answered before: stored scores must repeat."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from diffbehav.collect.blocks import BLOCK, block_count
from diffbehav.errors import IntegrityError
from diffbehav.records import Prompt
from diffbehav.serve import Engine
from diffbehav.store import RunFolder, part_path, read_parquet

ANSWERS = 8
LEAST = 1e-3
"""Nats. The median token of other weights moves further; of the same ones it stays below the numeric floor, which is
what 99 % of the tokens stay below."""


async def check_same_scores(
    folder: RunFolder, prompts: Sequence[Prompt], side: str, engine: Engine, *, at: str, floor: float
) -> None:
    """IntegrityError where the first stored answers of `side` have other scores now; nothing where none is stored.

    `floor` is the numeric floor of the run (nats). Whatever differs by less than it is not noticed.
    """
    moved_T = await _moved(folder, prompts, side, engine)
    if len(moved_T) and (median := float(np.median(moved_T))) > max(LEAST, floor):
        raise IntegrityError(
            f"{at} does not serve what answered before: {len(moved_T)} tokens of stored answers were scored again, and "
            f"half of them moved by more than {median:.2g} nats; serve the former model, or begin in another folder"
        )


async def _moved(folder: RunFolder, prompts: Sequence[Prompt], side: str, engine: Engine) -> np.ndarray:
    """float64: absolute differences of the log-probabilities of a few stored answers, over their tokens."""
    for block in range(block_count(len(prompts))):
        place = part_path(folder.scores(side, side), block)
        if place.exists():
            break
    else:
        return np.empty(0)
    key = ["condition_id", "sample", "turn"]
    answers = read_parquet(part_path(folder.completions(side), block)).select(*key, "token_ids")
    scores = read_parquet(place).select(*key, "logprobs").drop_nulls()
    both = answers.join(scores, on=key, maintain_order="left").filter(sample=0, turn=0).head(ANSWERS)
    asked = {prompt.condition_id: prompt for prompt in prompts[block * BLOCK : (block + 1) * BLOCK]}
    # Under another name the prompt is the same work to a model, and nothing an engine remembers.
    again = await asyncio.gather(
        *(
            engine.score(replace(asked[name], condition_id=f"{name}/unchanged"), ids)
            for name, ids in both.select("condition_id", "token_ids").iter_rows()
        )
    )
    pairs = zip(again, both["logprobs"].to_list(), strict=True)
    return np.concatenate([np.empty(0), *(np.abs(now.logprobs_T - np.array(then)) for now, then in pairs)])
