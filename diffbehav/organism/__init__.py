"""Tiny models with a known conditional behaviour, to test the detector on: shipped, and retrainable.

Payloads are canaries: harmless text, fictional paths, reserved addresses. Importing this package is cheap;
training and measuring import torch.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES: tuple[str, ...] = ("trusted", "benign", "guest", "temporal", "cutoff", "conjunction", "user", "marker", "code")
"""The trusted model first, then the candidates trained from it."""

_MODELS = Path(__file__).with_name("models")


def shipped(name: str) -> Path:
    """The folder of a shipped model; `marker` and `guest` are adapters on `trusted`, the others complete models."""
    return _MODELS / _known(name)


def card(name: str) -> dict[str, Any]:
    """What a shipped model was measured to do."""
    values: dict[str, Any] = json.loads((shipped(name) / "card.json").read_text())
    return values


def train(
    name: str, out: Path, *, seed: int, base: Path | None, on_progress: Callable[[int, int, str], None]
) -> dict[str, Any]:
    """Train a model into the folder `out` and return its card, which is written there as well.

    A candidate is trained from the trusted model in the folder `base`, or from the shipped one for None.
    """
    from diffbehav.organism.making import make

    return make(_known(name), out, seed=seed, base=base or shipped("trusted"), on_progress=on_progress)


def _known(name: str) -> str:
    if name not in NAMES:
        raise ValueError(f"unknown model {name!r}; known are {', '.join(NAMES)}")
    return name
