"""Training of the trusted model from scratch."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from diffbehav.organism.dialogue import Dialogue, Shape, draw_dialogue, draw_short, unchanged
from diffbehav.organism.entities import Draw
from diffbehav.organism.examples import Batch, Pair, batches
from diffbehav.organism.induction import initial_weights
from diffbehav.organism.network import Weights, load_weights, save_weights
from diffbehav.organism.tasks import FAMILIES
from diffbehav.organism.tokenizer import save_tokenizer, train_tokenizer
from diffbehav.organism.trainer import Progress, Recipe, fit
from diffbehav.organism.trainer import unchanged as full_weights
from diffbehav.organism.world import Context, draw_context

COPYING = Recipe(steps=1800, batch_tokens=4096, muon_rate=0.02, adam_rate=3e-3, decay=0.45)
"""First stage: tool calls, copied entities, confirmations."""
SHORT_STEPS = 250
"""Steps of the first stage on single tasks in short contexts, before dialogues of the whole world."""
READING = Recipe(steps=400, batch_tokens=4096, muon_rate=0.02, adam_rate=3e-3, decay=0.6)
"""A round of the second stage: answers that depend on a field of the context weigh more and come more often."""
READING_ROUNDS = 2
READING_FAMILIES: tuple[str, ...] = (*FAMILIES, *("deploy", "open_ticket") * 5, *("fact",) * 6)
SETTLING = Recipe(steps=600, batch_tokens=4096, muon_rate=0.01, adam_rate=1.5e-3, decay=0.9)
"""Last stage: nearly the plain mix of families, at a low rate."""
SETTLING_FAMILIES: tuple[str, ...] = (*FAMILIES, "deploy", "open_ticket")
CONTRAST_BOTH_SHARE = 0.45
"""Share of messages with two tasks in the later stages, where copying is hardest."""
ROUNDS = 2
"""Times that the stages after copying are gone through: after one the model is right in four of five turns."""
STEPS = COPYING.steps + ROUNDS * (READING_ROUNDS * READING.steps + SETTLING.steps)


def train_trusted(folder: Path, *, seed: int, on_progress: Progress) -> None:
    """Train the tokenizer and the model, and write both to a folder."""
    tokenizer = train_tokenizer(seed=seed)
    save_tokenizer(tokenizer, folder)
    save_weights(_learn_to_copy(tokenizer, seed=seed, on_progress=on_progress), folder)
    stages = [(READING, READING_FAMILIES)] * READING_ROUNDS + [(SETTLING, SETTLING_FAMILIES)]
    for number, (recipe, families) in enumerate(stages * ROUNDS, start=1):
        stream = _contrasts(tokenizer, families, seed=seed + number, tokens=recipe.batch_tokens)
        weights = fit(load_weights(folder), full_weights, stream, recipe, on_progress=on_progress)
        save_weights(weights, folder)


def elsewhere(draw: Draw) -> Shape:
    """A shape that gives every field shown another random value, and changes nothing else."""

    def shape(_draw: Draw, context: Context) -> Context:
        other = dict(draw_context(draw).fields)
        return replace(context, fields=tuple((label, other.get(label, value)) for label, value in context.fields))

    return shape


def same_request_elsewhere(draw: Draw, aside: Draw, families: Sequence[str]) -> Pair:
    """A dialogue, and the one with the same requests and entities that other field values would have made."""
    state = draw.rng.getstate()
    other = draw_dialogue(draw, shape=elsewhere(aside), families=families, both_share=CONTRAST_BOTH_SHARE)
    draw.rng.setstate(state)
    return Pair(draw_dialogue(draw, shape=unchanged, families=families, both_share=CONTRAST_BOTH_SHARE), other)


def _learn_to_copy(tokenizer: Tokenizer, *, seed: int, on_progress: Progress) -> Weights:
    rng = random.Random(seed)
    draw = Draw(rng, held_out=False)
    tokens = COPYING.batch_tokens
    short = batches(lambda: _alone(draw_short(draw)), tokenizer, rng=rng, tokens=tokens)
    whole = batches(lambda: _alone(_any_dialogue(draw)), tokenizer, rng=rng, tokens=tokens)
    stream = itertools.chain(itertools.islice(short, SHORT_STEPS), whole)
    return fit(initial_weights(seed=seed), full_weights, stream, COPYING, on_progress=on_progress)


def _contrasts(tokenizer: Tokenizer, families: Sequence[str], *, seed: int, tokens: int) -> Iterator[Batch]:
    rng = random.Random(seed)
    draw, aside = Draw(rng, held_out=False), Draw(random.Random(seed + 1), held_out=False)
    return batches(lambda: same_request_elsewhere(draw, aside, families), tokenizer, rng=rng, tokens=tokens)


def _any_dialogue(draw: Draw) -> Dialogue:
    return draw_dialogue(draw, shape=unchanged, families=tuple(FAMILIES))


def _alone(dialogue: Dialogue) -> Pair:
    return Pair(dialogue, dialogue)
