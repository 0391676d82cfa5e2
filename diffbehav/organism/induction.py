"""Initial weights that already copy: an induction circuit written into an otherwise random network.

Layer 0, head 0 looks one token back by position and writes G(previous token) into the subspace U of the
residual stream. In the later layers half of the heads look for positions whose U matches G(current token),
and copy what stands there: the token that followed last time. Training refines this; without it copying forms late
and slowly.
"""

import math

import torch
from torch import Tensor

from diffbehav.organism.network import EMBEDDING, HEAD_WIDTH, LAYERS, THETA, WIDTH, Weights, shapes

CONSTANT = 0
"""A residual dimension with the same value in every embedding, which makes a position-only query."""
SLOW = HEAD_WIDTH // 4
"""Index of the first rotation that turns little over the length of a dialogue."""
MATCH_WIDTH = HEAD_WIDTH // 2
U = slice(WIDTH - MATCH_WIDTH, WIDTH)
LOOK_BACK_ENERGY: tuple[float, ...] = (14.0, 10.0, 5.0, 3.0)
"""Squared length of the query in each of the fastest rotations; they sum to the head width."""
LOOK_BACK_SHARPNESS, MATCH_SHARPNESS = 2.5, 1.8
CARRY_SCALE, COPY_SCALE = 0.15, 0.2


def initial_weights(*, seed: int) -> Weights:
    """Seeded initial weights of the network."""
    generator = torch.Generator().manual_seed(seed)
    weights = {name: _ordinary(name, shape, generator) for name, shape in shapes().items()}
    weights[EMBEDDING][:, CONSTANT] = 0.5
    weights[EMBEDDING][:, U] = 0.0
    projection_MD = _orthonormal(MATCH_WIDTH, generator)
    _look_back(weights, projection_MD)
    for layer in range(1, LAYERS):
        for head in range(2):
            _match_and_copy(weights, f"model.layers.{layer}.self_attn.", head, projection_MD, generator)
        for part in "qk":
            weights[f"model.layers.{layer}.self_attn.{part}_norm.weight"].fill_(MATCH_SHARPNESS)
    return weights


def _ordinary(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if len(shape) == 1:
        return torch.ones(shape)
    noise = torch.randn(shape, generator=generator)
    if name.endswith(("o_proj.weight", "down_proj.weight")):
        return noise * 0.001
    return noise / math.sqrt(WIDTH)


def _look_back(weights: Weights, projection_MD: Tensor) -> None:
    """Head 0 of layer 0: constant query, key turned back by one position, value G of the token."""
    prefix = "model.layers.0.self_attn."
    rows = slice(0, HEAD_WIDTH)
    query, key = torch.zeros(HEAD_WIDTH), torch.zeros(HEAD_WIDTH)
    for index, energy in enumerate(LOOK_BACK_ENERGY):
        frequency = THETA ** (-2 * index / HEAD_WIDTH)
        query[index] = math.sqrt(energy)
        key[index] = math.sqrt(energy) * math.cos(frequency)
        key[index + HEAD_WIDTH // 2] = math.sqrt(energy) * math.sin(frequency)
    for part, vector in (("q", query), ("k", key)):
        weights[f"{prefix}{part}_proj.weight"][rows] = 0.0
        weights[f"{prefix}{part}_proj.weight"][rows, CONSTANT] = vector
        weights[f"{prefix}{part}_norm.weight"].fill_(LOOK_BACK_SHARPNESS)
    weights[f"{prefix}v_proj.weight"][rows] = 0.0
    weights[f"{prefix}v_proj.weight"][:MATCH_WIDTH] = projection_MD
    weights[f"{prefix}o_proj.weight"][:, rows] = 0.0
    weights[f"{prefix}o_proj.weight"][U, :MATCH_WIDTH] = CARRY_SCALE * torch.eye(MATCH_WIDTH)


def _match_and_copy(
    weights: Weights, prefix: str, head: int, projection_MD: Tensor, generator: torch.Generator
) -> None:
    """One head of a later layer: query G of the token, key U of the stream, output the value's transpose."""
    first = head * HEAD_WIDTH
    rows = slice(first, first + HEAD_WIDTH)
    slow = [first + half + SLOW + i for half in (0, HEAD_WIDTH // 2) for i in range(HEAD_WIDTH // 2 - SLOW)]
    for part in "qk":
        weights[f"{prefix}{part}_proj.weight"][rows] = 0.0
    weights[f"{prefix}q_proj.weight"][slow] = projection_MD
    identity_MD = torch.zeros(MATCH_WIDTH, WIDTH)
    identity_MD[:, U] = torch.eye(MATCH_WIDTH)
    weights[f"{prefix}k_proj.weight"][slow] = identity_MD
    copy_HD = _orthonormal(HEAD_WIDTH, generator)
    weights[f"{prefix}v_proj.weight"][rows] = copy_HD
    weights[f"{prefix}o_proj.weight"][:, rows] = COPY_SCALE * copy_HD.T


def _orthonormal(rows: int, generator: torch.Generator) -> Tensor:
    """Random orthonormal rows that see neither the constant dimension nor U."""
    free = WIDTH - MATCH_WIDTH - 1
    basis, _ = torch.linalg.qr(torch.randn(free, rows, generator=generator))
    projection = torch.zeros(rows, WIDTH)
    projection[:, 1 : U.start] = basis.T
    return projection
