"""What a model does on dialogues, given the right tokens before each.

A greedy answer is right exactly if each of these tokens is the most likely one; a sample at temperature 1 is
right with the product of their probabilities.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from tokenizers import Tokenizer

from diffbehav.organism.dialogue import Dialogue, render
from diffbehav.organism.examples import Example, Turn, assistant_turns, pad
from diffbehav.organism.network import Weights, hidden_states, logits
from diffbehav.organism.tokenizer import ASSISTANT, token_id

BATCH = 16


class TurnScore(NamedTuple):
    """One assistant turn under a model, given the right tokens before each."""

    ids: list[int]
    """Right tokens of the turn."""
    greedy: list[int]
    """Most likely token at each place."""
    log_probabilities: list[float]
    """Log-probability of the right tokens (nats)."""


def score_turns(weights: Weights, tokenizer: Tokenizer, dialogues: Sequence[Dialogue]) -> list[list[TurnScore]]:
    """The assistant turns of each dialogue."""
    rows = [encoding.ids for encoding in tokenizer.encode_batch([render(dialogue) for dialogue in dialogues])]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    scores: list[list[TurnScore]] = [[] for _ in rows]
    assistant_id = token_id(tokenizer, ASSISTANT)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        for index, turns in zip(chosen, _score_batch(weights, [rows[i] for i in chosen], assistant_id), strict=True):
            scores[index] = turns
    return scores


def _score_batch(weights: Weights, rows: list[list[int]], assistant_id: int) -> Iterator[list[TurnScore]]:
    batch = pad([Example(row, [1.0] * len(row)) for row in rows])
    states_BTD = hidden_states(weights, batch.ids_BT)
    for row, states_TD in zip(rows, states_BTD, strict=True):
        yield [_score(weights, row, states_TD, turn) for turn in assistant_turns(row, assistant_id)]


def _score(weights: Weights, row: list[int], states_TD: torch.Tensor, turn: Turn) -> TurnScore:
    scores_TV = logits(weights, states_TD[turn.start - 1 : turn.stop - 1]).log_softmax(-1)
    ids = row[turn.start : turn.stop]
    picked_T = scores_TV.gather(1, torch.tensor(ids)[:, None])[:, 0]
    return TurnScore(ids, scores_TV.argmax(-1).tolist(), picked_T.tolist())
