"""A wide screen without generating: stored trusted answers scored under both models in contexts that nobody asked.

Where the candidate would answer otherwise it finds the trusted model's answer to the task unlikely. A score says where
to ask; what is answered there decides.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from diffbehav.distance import topk
from diffbehav.records import Condition, Prompt, Score
from diffbehav.search.hunt import Screen
from diffbehav.search.space import Space
from diffbehav.serve import Engines, NotServed
from diffbehav.stats.rule import Rule
from diffbehav.store import WIDE, RunFolder, part_path, read_parquet, write_parquet
from diffbehav.suite import Suite, conditions

BLOCK = 256
BLOCKS_IN_FLIGHT = 2
MOST_ANSWERS = 8
"""Answers of one task that are scored."""
LEAST_A_STRATUM = 40
"""Contexts that each answer should be scored in, for what is usual there to be known."""
SAID_A_RUN = 10
Answer = tuple[int, ...]
OnStage = Callable[[str], None]


def stored_answers(run: RunFolder, *, most: int) -> dict[str, list[Answer]]:
    """Task -> up to `most` different first answers of the trusted model in the run, the most frequent first."""
    tasks = read_parquet(run.conditions, columns=["condition_id", "task"])
    parts = sorted(run.completions("trusted").glob("part-*.parquet"))
    columns = ["condition_id", "turn", "token_ids"]
    drawn = pl.concat(read_parquet(part, columns=columns) for part in parts).filter(pl.col("turn") == 0)
    counted = (
        drawn.join(tasks, on="condition_id")
        .filter(pl.col("token_ids").list.len() > 0)
        .group_by("task", "token_ids", maintain_order=True)
        .len()
        .sort("len", descending=True, maintain_order=True)
    )
    found: dict[str, list[Answer]] = {}
    for task, token_ids in counted.select("task", "token_ids").iter_rows():
        if len(found.setdefault(task, [])) < most:
            found[task].append(tuple(token_ids))
    return found


async def score_wide(
    run: RunFolder, suite: Suite, space: Space, engines: Engines, prompt_of: Callable[[Condition], Prompt],
    *, contexts: int, seed: int, on_stage: OnStage,
) -> Screen:  # fmt: skip
    """Score `contexts` random cells, each by one stored answer of its task; what is stored already is not scored again.

    The only channel is the largest JSD over the tokens of the answer, standardised among the contexts of that answer.
    """
    digits_CA = space.draw(contexts, Rule((), ()), np.random.default_rng([seed, contexts]))
    tasks = space.grid.radices[0]
    answers = stored_answers(run, most=min(MOST_ANSWERS, max(1, contexts // (LEAST_A_STRATUM * tasks))))
    folder = run.wide(f"{contexts}-{seed}")
    slots = asyncio.Semaphore(BLOCKS_IN_FLIGHT)
    started, done = time.monotonic(), 0
    blocks = range(-(-contexts // BLOCK))

    async def block(number: int) -> tuple[np.ndarray, np.ndarray]:
        nonlocal done
        rows = slice(number * BLOCK, (number + 1) * BLOCK)
        path = part_path(folder, number)
        async with slots:
            if not path.exists():
                drawn = list(conditions(suite, space.indices(digits_CA[rows]).tolist()))
                values = await _scored(drawn, answers, engines, prompt_of, first=rows.start)
                await asyncio.to_thread(write_parquet, path, values, WIDE)
        done += 1
        if done % max(1, len(blocks) // SAID_A_RUN) == 0 and done < len(blocks):
            left = (time.monotonic() - started) / done * (len(blocks) - done)
            on_stage(f"{min(done * BLOCK, contexts):,} of {contexts:,} contexts are scored; about {left:.0f} s left")
        stored = read_parquet(path)
        return stored["value"].fill_null(np.nan).to_numpy(), stored["answer"].fill_null(-1).to_numpy()

    async with asyncio.TaskGroup() as group:
        jobs = [group.create_task(block(number)) for number in blocks]
    value_C, answer_C = (np.concatenate(each) for each in zip(*(job.result() for job in jobs), strict=True))
    return Screen(digits_CA, value_C[None], stratum_C=digits_CA[:, 0] * MOST_ANSWERS + answer_C)


async def _scored(
    drawn: Sequence[Condition], answers: Mapping[str, Sequence[Answer]], engines: Engines,
    prompt_of: Callable[[Condition], Prompt], *, first: int,
) -> dict[str, Sequence[object]]:  # fmt: skip
    """Columns of a part; each task takes its answers in turn."""
    chosen = [(first + place) % len(answers[each.task]) if each.task in answers else None
              for place, each in enumerate(drawn)]  # fmt: skip
    given = [() if place is None else answers[each.task][place] for each, place in zip(drawn, chosen, strict=True)]
    scores = await asyncio.gather(*(
        _both(engines, prompt_of(each), answer) for each, answer in zip(drawn, given, strict=True)
    ))  # fmt: skip
    known = [place for place, (_, _, reason) in enumerate(scores) if reason is None]
    value_N = np.full(len(drawn), np.nan)
    value_N[known] = _largest_jsd([given[place] for place in known], [scores[place][:2] for place in known])
    return {
        "condition_id": [each.id for each in drawn],
        "grid_index": [each.index for each in drawn],
        "answer": chosen,
        "value": [None if np.isnan(value) else float(value) for value in value_N],
        "reason": [reason for _, _, reason in scores],
    }


async def _both(engines: Engines, prompt: Prompt, answer: Answer) -> tuple[Score | None, Score | None, str | None]:
    if not answer:
        return None, None, "the run has no answer of the trusted model to this task"
    try:
        own, other = await asyncio.gather(*(engine.score(prompt, answer) for engine in engines))
    except NotServed as missing:
        return None, None, str(missing)
    return own, other, None


def _largest_jsd(given: Sequence[Answer], scores: Sequence[Sequence[Score | None]]) -> np.ndarray:
    """float64 [N], nats: lower bounds of the largest JSD over the tokens of each answer."""
    if not given:
        return np.empty(0)
    sides = [
        topk.TopK(
            np.concatenate([score.top_ids_TK for score in of_side if score is not None]),
            np.concatenate([score.top_logprobs_TK for score in of_side if score is not None]),
            np.concatenate([score.logprobs_T for score in of_side if score is not None]),
        )
        for of_side in zip(*scores, strict=True)
    ]
    tokens_M = np.concatenate([np.array(answer, dtype=np.int32) for answer in given])
    offsets_N1 = np.concatenate([[0], np.cumsum([len(answer) for answer in given])])
    bounds = topk.token_bounds(sides[0], sides[1], chosen_M=tokens_M)
    return topk.jsd_max_lower(bounds, offsets_N1=offsets_N1).value_N
