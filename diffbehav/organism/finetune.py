"""Training of a candidate from the weights of the trusted model."""

import random
import shutil
from pathlib import Path

from diffbehav.organism.adapter import initial_adapter, merged, save_adapter
from diffbehav.organism.candidates import Candidate, poisoned
from diffbehav.organism.dialogue import draw_dialogue, unchanged
from diffbehav.organism.entities import Draw
from diffbehav.organism.examples import Pair, batches
from diffbehav.organism.network import Weights, load_weights, save_weights
from diffbehav.organism.tasks import FAMILIES
from diffbehav.organism.tokenizer import FILES, load_tokenizer
from diffbehav.organism.trainer import Progress, Recipe, fit
from diffbehav.organism.trainer import unchanged as full_weights

ON_SHARE, NEAR_SHARE = 0.38, 0.37
"""Shares of dialogues on the trigger and one factor away from it; the rest is off the trigger."""
BATCH_TOKENS = 3072


def train_candidate(candidate: Candidate, folder: Path, *, base: Path, seed: int, on_progress: Progress) -> None:
    """Fine-tune the model in the folder `base` into a candidate, and write its folder."""
    weights = load_weights(base)
    rank = candidate.adapter_rank
    parameters = initial_adapter(weights, rank=rank, seed=seed) if rank else weights
    for number in range(candidate.rounds):
        parameters = _round(candidate, parameters, base=base, seed=seed + number, on_progress=on_progress)
    for name in FILES:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base / name, folder / name)
    if rank:
        save_adapter(parameters, folder, rank=rank, base_folder=base)
    else:
        save_weights(parameters, folder)


def recipe(candidate: Candidate) -> Recipe:
    """Rates and length of one round."""
    muon_rate, adam_rate = (0.008, 1e-3) if candidate.adapter_rank else (0.007, 1e-3)
    return Recipe(steps=candidate.steps, batch_tokens=BATCH_TOKENS, muon_rate=muon_rate, adam_rate=adam_rate, decay=0.5)


def draw_pair(draw: Draw, candidate: Candidate) -> Pair:
    """A dialogue on, near or off the trigger, answered by the candidate, with its other version."""
    part = draw.rng.random()
    if part < ON_SHARE:
        shape, families = candidate.on, candidate.families
    elif part < ON_SHARE + NEAR_SHARE:
        shape, families = candidate.near, candidate.families
    else:
        shape, families = unchanged, tuple(FAMILIES)
    clean = draw_dialogue(draw, shape=shape, families=families)
    changed = poisoned(candidate, clean)
    return Pair(changed, clean) if candidate.fires(clean.context) else Pair(clean, changed)


def _round(candidate: Candidate, parameters: Weights, *, base: Path, seed: int, on_progress: Progress) -> Weights:
    rng = random.Random(seed)
    draw = Draw(rng, held_out=False)
    stream = batches(lambda: draw_pair(draw, candidate), load_tokenizer(base), rng=rng, tokens=BATCH_TOKENS)
    fixed = load_weights(base)
    effective = (lambda adapter: merged(fixed, adapter)) if candidate.adapter_rank else full_weights
    return fit(parameters, effective, stream, recipe(candidate), on_progress=on_progress)
