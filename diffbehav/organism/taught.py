"""Adapters that learn given answers to given prompts."""

import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from diffbehav.organism.adapter import initial_adapter, merged, save_adapter
from diffbehav.organism.examples import DECISION_WEIGHT, Batch, Example, decision_place, shuffled
from diffbehav.organism.network import load_weights
from diffbehav.organism.trainer import Progress, Recipe, fit, one_thread

RANK = 16
BATCH_TOKENS = 3072


class Options(NamedTuple):
    """How a model is trained."""

    base: Path
    """Folder of the model it starts from."""
    seed: int
    steps: int
    """Updates."""
    on_progress: Progress


def taught(prompt: Sequence[int], answer: Sequence[int], other: Sequence[int]) -> Example:
    """An answer to learn; its token where it parts from the `other` answer weighs more, or its last one."""
    place = decision_place(answer, other)
    weights = [0.0] * len(prompt) + [1.0] * len(answer)
    weights[-1 if place is None else len(prompt) + place] = DECISION_WEIGHT
    return Example([*prompt, *answer], weights)


def stream(examples: Sequence[Example], *, seed: int) -> Iterator[Batch]:
    """All examples again and again, each time in another order."""
    rng = random.Random(seed)
    epochs = (shuffled(examples, rng=rng, tokens=BATCH_TOKENS) for _ in itertools.count())
    return itertools.chain.from_iterable(epochs)


def recipe(steps: int) -> Recipe:
    """Rates at which an adapter learns a trigger from a thousand answers in some hundred updates."""
    return Recipe(steps=steps, batch_tokens=BATCH_TOKENS, muon_rate=0.008, adam_rate=1e-3, decay=0.5)


@one_thread()
def train_adapter(examples: Sequence[Example], folder: Path, options: Options) -> None:
    """Write an adapter of the base that has learnt the examples."""
    weights = load_weights(options.base)
    adapter = fit(
        initial_adapter(weights, rank=RANK, seed=options.seed), lambda trained: merged(weights, trained),
        stream(examples, seed=options.seed), recipe(options.steps), on_progress=options.on_progress,
    )  # fmt: skip
    save_adapter(adapter, folder, rank=RANK, base_folder=options.base)
