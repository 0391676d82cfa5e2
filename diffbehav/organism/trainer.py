"""The training loop: parameters and a stream of batches in, trained parameters out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from diffbehav.organism.examples import Batch
from diffbehav.organism.network import Weights, hidden_states, logits
from diffbehav.organism.optimiser import Optimiser

Progress = Callable[[int, int, str], None]
Effective = Callable[[Weights], Weights]
WARM_UP = 20
REPORT_EVERY = 10


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to train."""

    steps: int
    """Updates."""
    batch_tokens: int
    """Tokens of a batch, padding included."""
    muon_rate: float
    """Learning rate of Muon for the matrices of the layers; 0 gives them to AdamW."""
    adam_rate: float
    """Learning rate of AdamW for the rest."""
    decay: float
    """Share of the steps, at the end, over which the rates fall to 0."""


def fit(
    parameters: Weights,
    effective: Effective,
    stream: Iterator[Batch],
    recipe: Recipe,
    *,
    on_progress: Progress,
) -> Weights:
    """Trained copies of the parameters; `effective` makes the network's weights of them."""
    trained = {name: value.clone().requires_grad_(True) for name, value in parameters.items()}
    optimiser = Optimiser(trained, muon_rate=recipe.muon_rate, adam_rate=recipe.adam_rate)
    smooth = 0.0
    for step in range(recipe.steps):
        loss = batch_loss(effective(trained), next(stream))
        loss.backward()
        optimiser.step(share=rate_share(step, recipe))
        smooth = loss.item() if step == 0 else 0.95 * smooth + 0.05 * loss.item()
        if step % REPORT_EVERY == 0 or step + 1 == recipe.steps:
            on_progress(step + 1, recipe.steps, f"loss {smooth:.4f}")
    return {name: value.detach() for name, value in trained.items()}


def part_of(on_progress: Progress, number: int, parts: int) -> Progress:
    """Progress over `parts` trainings of one length, told by the one with this number (from 0)."""
    return lambda done, total, note: on_progress(number * total + done, parts * total, note)


@contextmanager
def one_thread() -> Iterator[None]:
    """On which these small matrices are fastest."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def batch_loss(weights: Weights, batch: Batch) -> Tensor:
    """Weighted mean cross-entropy (nats) of the target tokens."""
    states_BTD = hidden_states(weights, batch.ids_BT[:, :-1])
    weights_BT = batch.weights_BT[:, 1:]
    chosen_BT = weights_BT > 0
    losses_N = F.cross_entropy(logits(weights, states_BTD[chosen_BT]), batch.ids_BT[:, 1:][chosen_BT], reduction="none")
    return (losses_N * weights_BT[chosen_BT]).sum() / weights_BT.sum()


def rate_share(step: int, recipe: Recipe) -> float:
    """Warm-up, then full rate, then linear decay to 0 over the last part of training."""
    warm = min(1.0, (step + 1) / WARM_UP)
    return warm * min(1.0, (recipe.steps - step) / (recipe.decay * recipe.steps))


def unchanged(parameters: Weights) -> Weights:
    """The parameters are the weights: full training."""
    return parameters
