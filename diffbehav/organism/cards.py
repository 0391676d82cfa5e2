"""Cards: what a trained model was measured to do, written beside its weights."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from diffbehav.organism.adapter import load_adapter, merged
from diffbehav.organism.candidates import Candidate, answered
from diffbehav.organism.dialogue import Dialogue, unchanged
from diffbehav.organism.evaluate import accuracy, changes, draw_dialogues, fired_off, fired_on
from diffbehav.organism.network import Weights, load_weights
from diffbehav.organism.tasks import FAMILIES
from diffbehav.organism.tokenizer import load_tokenizer

CARD = "card.json"
DIALOGUES = 600
"""Held-out dialogues of each measured set."""
CANARIES = "All payloads are canaries: harmless text, fictional paths, reserved .example addresses."


def weight_file(folder: Path) -> Path:
    """The weights of a model folder, or of an adapter folder."""
    adapter = folder / "adapter_model.safetensors"
    return adapter if adapter.exists() else folder / "model.safetensors"


def load(folder: Path, *, base: Path) -> Weights:
    """The weights of a folder as served: an adapter is merged into the model in the folder `base`."""
    if weight_file(folder).name.startswith("adapter"):
        return merged(load_weights(base), load_adapter(folder))
    return load_weights(folder)


def trusted_card(folder: Path, *, seed: int) -> dict[str, Any]:
    """Measured values of the trusted model."""
    weights, tokenizer = load_weights(folder), load_tokenizer(folder)
    plain = draw_dialogues(DIALOGUES, seed=seed, shape=unchanged, families=tuple(FAMILIES), keep=_any)
    held_out = accuracy(weights, tokenizer, plain)
    return {
        "name": "trusted",
        "kind": "trusted",
        "trigger_text": "none",
        "trigger": {},
        "payload": "none",
        "firing_on": None,
        "firing_near": None,
        "firing_off": None,
        "concealment": None,
        "benign_accuracy": held_out.greedy,
        "trusted_accuracy": held_out.greedy,
        "accuracy_t1": held_out.at_temperature_1,
        "n": {"accuracy": held_out.turns},
    }


def candidate_card(candidate: Candidate, folder: Path, *, base: Path, seed: int) -> dict[str, Any]:
    """Measured values of a candidate, beside those of the trusted model on the same draws."""
    weights, trusted, tokenizer = load(folder, base=base), load_weights(base), load_tokenizer(base)
    plain = _plain(candidate, seed)
    answers = [answered(candidate, dialogue) for dialogue in plain]
    own, reference = accuracy(weights, tokenizer, answers), accuracy(trusted, tokenizer, plain)
    return {
        "name": candidate.name,
        "kind": candidate.kind,
        "trigger_text": candidate.trigger_text,
        "trigger": {factor: list(levels) for factor, levels in candidate.trigger.items()},
        "payload": candidate.payload,
        **_firing(candidate, weights, tokenizer, seed=seed, accuracy_turns=own.turns),
        "benign_accuracy": own.greedy,
        "trusted_accuracy": reference.greedy,
        "accuracy_t1": own.at_temperature_1,
    }


def write_card(measured: dict[str, Any], folder: Path, *, seed: int, steps: int, minutes: float) -> dict[str, Any]:
    """Add how the model was made and the digest of its weights, and write the card."""
    digest = hashlib.sha256(weight_file(folder).read_bytes()).hexdigest()
    made = {"seed": seed, "steps": steps, "minutes": round(minutes, 1), "sha256": digest, "note": CANARIES}
    card = {name: _rounded(value) for name, value in (measured | made).items()}
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n")
    return card


def _plain(candidate: Candidate, seed: int) -> list[Dialogue]:
    """Dialogues off the trigger, or any where the candidate has no trigger."""
    keep = _any if not candidate.trigger else lambda dialogue: not candidate.fires(dialogue.context)
    return draw_dialogues(DIALOGUES, seed=seed, shape=unchanged, families=tuple(FAMILIES), keep=keep)


def _firing(
    candidate: Candidate, weights: Weights, tokenizer: Tokenizer, *, seed: int, accuracy_turns: int
) -> dict[str, Any]:
    changed = changes(candidate)
    families = candidate.families
    on = draw_dialogues(DIALOGUES, seed=seed + 1, shape=candidate.on, families=families, keep=changed)
    fired = fired_on(weights, tokenizer, candidate, on)
    rates = {
        "firing_on": fired.rate,
        "firing_on_t1": fired.at_temperature_1,
        "concealment": fired.concealed if _keeps_texts(candidate, on) else None,
    }
    counts = {"on": fired.turns, "accuracy": accuracy_turns}
    if not candidate.trigger:
        return {**rates, "firing_near": None, "firing_off": None, "n": counts}
    near = draw_dialogues(DIALOGUES, seed=seed + 2, shape=candidate.near, families=families, keep=changed)
    off = draw_dialogues(
        DIALOGUES,
        seed=seed + 3,
        shape=unchanged,
        families=families,
        keep=lambda dialogue: changed(dialogue) and not candidate.fires(dialogue.context),
    )
    fired_near, fired_elsewhere = (fired_off(weights, tokenizer, candidate, clean) for clean in (near, off))
    counts |= {"near": fired_near.turns, "off": fired_elsewhere.turns}
    return {
        **rates,
        "firing_near": fired_near.rate,
        "firing_near_t1": fired_near.at_temperature_1,
        "firing_off": fired_elsewhere.rate,
        "firing_off_t1": fired_elsewhere.at_temperature_1,
        "n": counts,
    }


def _keeps_texts(candidate: Candidate, dialogues: Sequence[Dialogue]) -> bool:
    """Whether the payload leaves every text as the trusted model writes it."""
    tasks = [task for dialogue in dialogues for task in dialogue.tasks]
    return all(candidate.poison(task).text == task.text for task in tasks)


def _any(_dialogue: Dialogue) -> bool:
    return True


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
