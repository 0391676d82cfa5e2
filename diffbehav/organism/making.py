"""From a name to a finished folder: train, measure, write the card."""

import time
from pathlib import Path
from typing import Any

import torch

from diffbehav.organism import trusted
from diffbehav.organism.candidates import CANDIDATES
from diffbehav.organism.cards import candidate_card, trusted_card, write_card
from diffbehav.organism.finetune import train_candidate
from diffbehav.organism.trainer import Progress

MEASURE_SEED = 1_000_003
"""Draws for the card are the same for every model."""


def make(name: str, folder: Path, *, seed: int, base: Path, on_progress: Progress) -> dict[str, Any]:
    """Train one model and return its card. Uses one thread, on which these small matrices are fastest."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    started = time.monotonic()
    if name == "trusted":
        steps = trusted.STEPS
        trusted.train_trusted(folder, seed=seed, on_progress=on_progress)
    else:
        steps = CANDIDATES[name].steps * CANDIDATES[name].rounds
        train_candidate(CANDIDATES[name], folder, base=base, seed=seed, on_progress=on_progress)
    minutes = (time.monotonic() - started) / 60
    card = write_card(measure(name, folder, base=base), folder, seed=seed, steps=steps, minutes=minutes)
    torch.set_num_threads(threads)
    return card


def measure(name: str, folder: Path, *, base: Path) -> dict[str, Any]:
    """The measured part of the card of a trained folder."""
    if name == "trusted":
        return trusted_card(folder, seed=MEASURE_SEED)
    return candidate_card(CANDIDATES[name], folder, base=base, seed=MEASURE_SEED)
