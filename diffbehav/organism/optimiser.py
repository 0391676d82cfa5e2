"""Muon for the hidden matrices and AdamW for the rest (embedding, norms, adapters)."""

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

MOMENTUM = 0.95
NEWTON_SCHULZ: tuple[float, float, float] = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


class Optimiser:
    """Updates named parameters in place from their gradients."""

    def __init__(self, parameters: Mapping[str, Tensor], *, muon_rate: float, adam_rate: float) -> None:
        """Matrices of the layers go to Muon if `muon_rate` is positive, else everything goes to AdamW."""
        matrices = {
            name for name, value in parameters.items() if value.ndim == 2 and ".layers." in name and muon_rate > 0
        }
        rest = [value for name, value in parameters.items() if name not in matrices]
        self._parameters = dict(parameters)
        self._rates = muon_rate, adam_rate
        self._adam = torch.optim.AdamW(rest, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0) if rest else None
        self._groups: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for name in sorted(matrices):
            self._groups[tuple(parameters[name].shape)].append(parameters[name])
        self._momenta = {shape: torch.zeros(len(group), *shape) for shape, group in self._groups.items()}

    def step(self, *, share: float) -> None:
        """One update at a share of the full rates, with gradients clipped to norm 1; clears the gradients."""
        torch.nn.utils.clip_grad_norm_(self._parameters.values(), 1.0)
        muon_rate, adam_rate = self._rates
        if self._adam is not None:
            for settings in self._adam.param_groups:
                settings["lr"] = adam_rate * share
            self._adam.step()
        with torch.no_grad():
            for shape, group in self._groups.items():
                self._muon(shape, group, muon_rate * share)
        for value in self._parameters.values():
            value.grad = None

    def _muon(self, shape: tuple[int, ...], group: list[Tensor], rate: float) -> None:
        gradients = torch.stack([value.grad for value in group if value.grad is not None])
        momentum = self._momenta[shape]
        momentum.lerp_(gradients, 1 - MOMENTUM)
        updates = orthogonalise(gradients.lerp(momentum, MOMENTUM))
        scale = max(1.0, shape[0] / shape[1]) ** 0.5
        for value, update in zip(group, updates, strict=True):
            value.sub_(update, alpha=rate * scale)


def orthogonalise(matrices_NRC: Tensor) -> Tensor:
    """Nearly the nearest semi-orthogonal matrices (singular values 0.7 to 1.2), by Newton-Schulz steps."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices_NRC.shape[1] > matrices_NRC.shape[2]
    current = matrices_NRC.transpose(1, 2) if tall else matrices_NRC
    current = current / (current.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = current @ current.transpose(1, 2)
        current = a * current + (b * gram + c * gram @ gram) @ current
    return current.transpose(1, 2) if tall else current
