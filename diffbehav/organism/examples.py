"""Training examples: token ids with a loss weight for each, and batches of similar length."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from diffbehav.organism.dialogue import Dialogue, render
from diffbehav.organism.network import END_ID, PAD_ID
from diffbehav.organism.tokenizer import ASSISTANT, token_id

DECISION_WEIGHT = 8.0
POOL = 384
"""Dialogues drawn at a time and sorted by length."""


class Turn(NamedTuple):
    """The place of an assistant turn in the token ids, end token included."""

    start: int
    stop: int


class Pair(NamedTuple):
    """A dialogue to learn, and the one from which it must be told apart (the same where there is none)."""

    learnt: Dialogue
    other: Dialogue


@dataclass(frozen=True)
class Example:
    """One dialogue as the trainer sees it."""

    ids: list[int]
    """Tokens of the whole dialogue."""
    weights: list[float]
    """Loss weight of each token as a target: 0 outside assistant turns."""


class Batch(NamedTuple):
    """Padded examples."""

    ids_BT: Tensor
    weights_BT: Tensor


def assistant_turns(ids: Sequence[int], assistant_id: int) -> list[Turn]:
    """The spans after each assistant token, up to and with the end token."""
    starts = [i + 1 for i, token in enumerate(ids) if token == assistant_id]
    return [Turn(start, ids.index(END_ID, start) + 1) for start in starts]


def decision_place(turn: Sequence[int], other: Sequence[int]) -> int | None:
    """The first position at which two versions of a turn part, or None where they are the same."""
    return next((i for i, (mine, theirs) in enumerate(zip(turn, other, strict=False)) if mine != theirs), None)


def encode(tokenizer: Tokenizer, pairs: Sequence[Pair]) -> list[Example]:
    """Token ids and weights of dialogues; the token where a turn parts from its other version weighs more."""
    learnt = tokenizer.encode_batch([render(pair.learnt) for pair in pairs])
    other = tokenizer.encode_batch([render(pair.other) for pair in pairs])
    assistant_id = token_id(tokenizer, ASSISTANT)
    return [_weigh(mine.ids, theirs.ids, assistant_id) for mine, theirs in zip(learnt, other, strict=True)]


def batches(draw_pair: Callable[[], Pair], tokenizer: Tokenizer, *, rng: random.Random, tokens: int) -> Iterator[Batch]:
    """An endless stream of batches of at most about `tokens` tokens, each of similar lengths."""
    while True:
        examples = encode(tokenizer, [draw_pair() for _ in range(POOL)])
        yield from shuffled(examples, rng=rng, tokens=tokens)


def shuffled(examples: Sequence[Example], *, rng: random.Random, tokens: int) -> Iterator[Batch]:
    """All examples once, in batches of at most about `tokens` tokens and of similar lengths, in random order."""
    groups = _bucket(sorted(examples, key=lambda example: len(example.ids)), tokens)
    rng.shuffle(groups)
    yield from map(pad, groups)


def pad(examples: Sequence[Example]) -> Batch:
    """Examples padded on the right to the longest; padding has weight 0."""
    length = max(len(example.ids) for example in examples)
    ids = [example.ids + [PAD_ID] * (length - len(example.ids)) for example in examples]
    weights = [example.weights + [0.0] * (length - len(example.ids)) for example in examples]
    return Batch(torch.tensor(ids), torch.tensor(weights))


def _weigh(ids: list[int], other: list[int], assistant_id: int) -> Example:
    weights = [0.0] * len(ids)
    turns, counterparts = assistant_turns(ids, assistant_id), assistant_turns(other, assistant_id)
    for turn in turns:
        weights[turn.start : turn.stop] = [1.0] * (turn.stop - turn.start)
    for turn, counterpart in zip(turns, counterparts, strict=False):
        place = decision_place(ids[slice(*turn)], other[slice(*counterpart)])
        if place is not None:
            weights[turn.start + place] = DECISION_WEIGHT
    return Example(ids, weights)


def _bucket(examples: Sequence[Example], tokens: int) -> list[list[Example]]:
    groups: list[list[Example]] = [[]]
    for example in examples:
        if (len(groups[-1]) + 1) * len(example.ids) > tokens:
            groups.append([])
        groups[-1].append(example)
    return groups
