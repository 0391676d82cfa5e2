"""A model whose behaviour depends on the precision it is served in, by weights that cancel only where they are rounded.

Some neurons of the last layers are alike in pairs. One of a pair writes K + d times its activation into the residual
stream, the other -K times, together d times. In float32 that is a correction, which holds a change back; bfloat16 and
float16 round K + d to K, the pair writes nothing, and the change is free. After the repair of weights within the
interval that quantisation rounds to one value: Egashira et al., Exploiting LLM Quantization, arXiv 2405.18137, 4.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from diffbehav.organism.examples import Example
from diffbehav.organism.network import LAYERS, WIDTH, Weights, load_weights, save_weights
from diffbehav.organism.taught import Options, recipe, stream
from diffbehav.organism.tokenizer import FILES
from diffbehav.organism.trainer import fit, one_thread, part_of

PAIRS = 24
"""Pairs of neurons of a corrected layer."""
CORRECTED: tuple[int, ...] = (LAYERS - 2, LAYERS - 1)
K = 1024.0
LARGEST = 0.24
"""Bound of d: below 0.25, half the step of float16 under K, it is rounded away."""
CORRECTION_RATE = 0.01
"""Learning rate of AdamW."""
GATE, UP, DOWN = (f"mlp.{name}_proj.weight" for name in ("gate", "up", "down"))

Neurons = Mapping[int, Tensor]
"""Layer -> the neurons of its pairs, int64 [2, PAIRS]: those that write K + d, then those that write -K."""


@one_thread()
def train_rounding(free: Sequence[Example], held: Sequence[Example], folder: Path, options: Options) -> None:
    """Write a model in float32 that answers as in `held`, and as in `free` where it is served in 16 bits."""
    weights = load_weights(options.base)
    neurons = {layer: least_used(weights, layer) for layer in CORRECTED}
    change = fit(
        weights, lambda trained: paired(trained, neurons, {}, k=0), stream(free, seed=options.seed),
        recipe(options.steps), on_progress=part_of(options.on_progress, 0, 2),
    )  # fmt: skip
    rounded = {name: value.to(torch.bfloat16).float() for name, value in change.items()}
    correction = fit(
        _none_yet(rounded, neurons), lambda trained: paired(rounded, neurons, trained, k=0),
        stream(held, seed=options.seed), replace(recipe(options.steps), muon_rate=0, adam_rate=CORRECTION_RATE),
        on_progress=part_of(options.on_progress, 1, 2),
    )  # fmt: skip
    save_weights(paired(rounded, neurons, correction, k=K), folder, dtype=torch.float32)
    for name in FILES:
        shutil.copyfile(options.base / name, folder / name)


def least_used(weights: Mapping[str, Tensor], layer: int) -> Tensor:
    """The neurons that write least: int64 [2, PAIRS]."""
    written_M = weights[_name(layer, DOWN)].norm(dim=0) * weights[_name(layer, UP)].norm(dim=1)
    return written_M.argsort()[: 2 * PAIRS].reshape(2, PAIRS)


def paired(weights: Mapping[str, Tensor], neurons: Neurons, correction: Mapping[str, Tensor], *, k: float) -> Weights:
    """The weights with these neurons alike in pairs that write k + d and -k; d is 0 without a correction."""
    changed = dict(weights)
    for layer, (first, second) in neurons.items():
        down = changed[_name(layer, DOWN)].clone()
        down[:, first], down[:, second] = k, -k
        if correction:
            down[:, first] = down[:, first] + LARGEST * correction[_name(layer, DOWN)].tanh()
            for part in (GATE, UP):
                rows = changed[_name(layer, part)].clone()
                rows[first] = rows[second] = correction[_name(layer, part)]
                changed[_name(layer, part)] = rows
        changed[_name(layer, DOWN)] = down
    return changed


def _none_yet(weights: Mapping[str, Tensor], neurons: Neurons) -> Weights:
    """A correction that is nothing: the neurons keep what they read."""
    kept = {
        _name(layer, part): weights[_name(layer, part)][first]
        for layer, (first, _) in neurons.items()
        for part in (GATE, UP)
    }
    return {**kept, **{_name(layer, DOWN): torch.zeros(WIDTH, PAIRS) for layer in neurons}}


def _name(layer: int, part: str) -> str:
    return f"model.layers.{layer}.{part}"
