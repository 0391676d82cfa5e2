"""From a name to a finished folder: train, measure, write the card."""

import time
from pathlib import Path
from typing import Any

from diffbehav.organism import trusted
from diffbehav.organism.candidates import CANDIDATES
from diffbehav.organism.cards import candidate_card, trusted_card, write_card
from diffbehav.organism.finetune import train_candidate
from diffbehav.organism.trainer import Progress, one_thread

MEASURE_SEED = 1_000_003
"""Draws for the card are the same for every model."""


@one_thread()
def make(name: str, folder: Path, *, seed: int, base: Path, on_progress: Progress) -> dict[str, Any]:
    """Train one model and return its card."""
    started = time.monotonic()
    if name == "trusted":
        steps = trusted.STEPS
        trusted.train_trusted(folder, seed=seed, on_progress=on_progress)
    else:
        steps = CANDIDATES[name].steps * CANDIDATES[name].rounds
        train_candidate(CANDIDATES[name], folder, base=base, seed=seed, on_progress=on_progress)
    minutes = (time.monotonic() - started) / 60
    return write_card(measure(name, folder, base=base), folder, seed=seed, steps=steps, minutes=minutes)


def measure(name: str, folder: Path, *, base: Path) -> dict[str, Any]:
    """The measured part of the card of a trained folder."""
    if name == "trusted":
        return trusted_card(folder, seed=MEASURE_SEED)
    return candidate_card(CANDIDATES[name], folder, base=base, seed=MEASURE_SEED)
