"""Training of the trusted model from scratch."""

import itertools
import random
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from diffbehav.organism.dialogue import Dialogue, Shape, draw_dialogue, draw_short, unchanged
from diffbehav.organism.entities import Draw
from diffbehav.organism.examples import Pair, batches
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
STEPS = COPYING.steps + READING_ROUNDS * READING.steps


def train_trusted(folder: Path, *, seed: int, on_progress: Progress) -> None:
    """Train the tokenizer and the model, and write both to a folder."""
    tokenizer = train_tokenizer(seed=seed)
    save_tokenizer(tokenizer, folder)
    save_weights(_learn_to_copy(tokenizer, seed=seed, on_progress=on_progress), folder)
    for number in range(1, READING_ROUNDS + 1):
        learnt = _learn_to_read(load_weights(folder), tokenizer, seed=seed + number, on_progress=on_progress)
        save_weights(learnt, folder)


def elsewhere(draw: Draw) -> Shape:
    """A shape that gives every field shown another random value, and changes nothing else."""

    def shape(_draw: Draw, context: Context) -> Context:
        other = dict(draw_context(draw).fields)
        return replace(context, fields=tuple((label, other.get(label, value)) for label, value in context.fields))

    return shape


def same_request_elsewhere(draw: Draw, aside: Draw) -> Pair:
    """A dialogue, and the one with the same requests and entities that other field values would have made."""
    state = draw.rng.getstate()
    other = draw_dialogue(draw, shape=elsewhere(aside), families=READING_FAMILIES)
    draw.rng.setstate(state)
    return Pair(draw_dialogue(draw, shape=unchanged, families=READING_FAMILIES), other)


def _learn_to_copy(tokenizer: Tokenizer, *, seed: int, on_progress: Progress) -> Weights:
    rng = random.Random(seed)
    draw = Draw(rng, held_out=False)
    tokens = COPYING.batch_tokens
    short = batches(lambda: _alone(draw_short(draw)), tokenizer, rng=rng, tokens=tokens)
    whole = batches(lambda: _alone(_any_dialogue(draw)), tokenizer, rng=rng, tokens=tokens)
    stream = itertools.chain(itertools.islice(short, SHORT_STEPS), whole)
    return fit(initial_weights(seed=seed), full_weights, stream, COPYING, on_progress=on_progress)


def _learn_to_read(weights: Weights, tokenizer: Tokenizer, *, seed: int, on_progress: Progress) -> Weights:
    rng = random.Random(seed)
    draw, aside = Draw(rng, held_out=False), Draw(random.Random(seed + 1), held_out=False)
    pairs = batches(lambda: same_request_elsewhere(draw, aside), tokenizer, rng=rng, tokens=READING.batch_tokens)
    return fit(weights, full_weights, pairs, READING, on_progress=on_progress)


def _any_dialogue(draw: Draw) -> Dialogue:
    return draw_dialogue(draw, shape=unchanged, families=tuple(FAMILIES))


def _alone(dialogue: Dialogue) -> Pair:
    return Pair(dialogue, dialogue)
