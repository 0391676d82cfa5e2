"""How far the weights of a candidate are from those of the trusted model, tensor by tensor, in bounded memory."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from diffbehav.intake.safetensors_header import Tensor
from diffbehav.intake.spectrum import stable_rank
from diffbehav.intake.tensor_values import PIECE, REAL, WIDEST, pieces, read_bytes, row_elements

HELD = 1 << 27
"""Elements up to which a difference is kept in memory for its rank; larger ones are read again."""
UNCHANGED = "nothing changed"
NOT_FINITE = "a value is NaN or infinite"
_LAYER = re.compile(r"(.*?\.\d+)\.")


class TensorDifference(NamedTuple):
    """One tensor of both sides. A number that cannot be given is None, and `reasons` says why by its name."""

    name: str
    shape: tuple[int, ...]
    """The candidate's; the trusted one's where only that has the tensor."""
    dtypes: tuple[str | None, str | None]
    """Candidate, trusted; None where a side lacks the tensor."""
    norm: float | None
    """Frobenius norm of candidate minus trusted."""
    trusted_norm: float | None
    relative: float | None
    """`norm` over `trusted_norm`."""
    stable_rank: float | None
    """Of the difference as a matrix over its last dimension: 1 for a change of rank one, at most the rank."""
    changed: float | None
    """Share of the elements that are not the same value; of the same type: not the same bits."""
    reasons: Mapping[str, str]


class LayerDifference(NamedTuple):
    """The tensors of one layer together."""

    name: str
    tensors: int
    measured: int
    """Tensors with a norm; the numbers are about these."""
    norm: float | None
    relative: float | None
    changed: float | None
    stable_ranks: tuple[float, float] | None
    """Least and largest among its matrices; None where none has one."""


def weight_differences(
    candidate: Mapping[str, Tensor], trusted: Mapping[str, Tensor], *, piece: int = PIECE, held: int = HELD
) -> Iterator[TensorDifference]:
    """Every tensor of either side, by name."""
    for name in sorted(candidate.keys() | trusted.keys()):
        yield tensor_difference(name, candidate.get(name), trusted.get(name), piece=piece, held=held)


def tensor_difference(
    name: str, candidate: Tensor | None, trusted: Tensor | None, *, piece: int = PIECE, held: int = HELD
) -> TensorDifference:
    """Compares one tensor, `piece` elements at a time."""
    if candidate is None or trusted is None:
        side = "trusted model" if candidate is None else "candidate"
        return _unmeasured(name, candidate, trusted, f"only the {side} has it")
    if candidate.shape != trusted.shape:
        return _unmeasured(name, candidate, trusted, f"shapes {candidate.shape} and {trusted.shape}")
    if not candidate.elements:
        return _unmeasured(name, candidate, trusted, "it has no elements")
    if candidate.dtype == trusted.dtype and _same_bytes(candidate, trusted, piece):
        return _unchanged(name, candidate, trusted)
    if candidate.dtype not in REAL or trusted.dtype not in REAL:
        types = " and ".join(sorted({candidate.dtype, trusted.dtype}))
        return _unmeasured(name, candidate, trusted, f"stored {types} values are no weights without their scales")
    return _measured(name, candidate, trusted, piece, held)


def layers(found: Sequence[TensorDifference]) -> list[LayerDifference]:
    """The differences by layer: the part of a name up to its first number, or the whole name."""
    groups: dict[str, list[TensorDifference]] = defaultdict(list)
    for each in found:
        match = _LAYER.match(each.name)
        groups[match[1] if match else each.name].append(each)
    return [_layer(name, members) for name, members in groups.items()]


def _layer(name: str, members: Sequence[TensorDifference]) -> LayerDifference:
    measured = [each for each in members if each.norm is not None]
    if not measured:
        return LayerDifference(name, len(members), 0, None, None, None, None)
    norm = math.hypot(*(each.norm or 0.0 for each in measured))
    trusted = [each.trusted_norm for each in measured]
    whole = None if None in trusted else math.hypot(*(each or 0.0 for each in trusted))
    elements = sum(math.prod(each.shape) for each in measured)
    counted = all(each.changed is not None for each in measured) and elements
    ranks = [each.stable_rank for each in measured if each.stable_rank is not None]
    return LayerDifference(
        name,
        len(members),
        len(measured),
        norm,
        norm / whole if whole else None,
        sum((each.changed or 0.0) * math.prod(each.shape) for each in measured) / elements if counted else None,
        (min(ranks), max(ranks)) if ranks else None,
    )


class _Sums(NamedTuple):
    """What one pass over both sides gives."""

    norm: float
    trusted_norm: float
    changed: int
    deltas: list[np.ndarray] | None
    """The differences, float32 [N] a piece; None where they are too many to be kept."""


def _measured(name: str, candidate: Tensor, trusted: Tensor, piece: int, held: int) -> TensorDifference:
    elements = row_elements(candidate, piece)
    with np.errstate(all="ignore"):
        sums = _summed(candidate, trusted, elements, keep=candidate.elements <= held)
    reasons: dict[str, str] = {}
    norm, trusted_norm = (value if math.isfinite(value) else None for value in (sums.norm, sums.trusted_norm))
    relative = norm / trusted_norm if norm is not None and trusted_norm else None
    if norm is None:
        reasons["norm"] = NOT_FINITE
    if trusted_norm is None:
        reasons["trusted_norm"] = NOT_FINITE
    if relative is None:
        reasons["relative"] = "the trusted tensor is zero" if trusted_norm == 0.0 else NOT_FINITE
    why, rank = _no_rank(candidate, norm), None
    if why is None and norm is not None:
        rank = _rank(candidate, trusted, sums.deltas, norm, elements)
    else:
        reasons["stable_rank"] = why or NOT_FINITE
    dtypes, changed = (candidate.dtype, trusted.dtype), sums.changed / candidate.elements
    return TensorDifference(name, candidate.shape, dtypes, norm, trusted_norm, relative, rank, changed, reasons)


def _summed(candidate: Tensor, trusted: Tensor, elements: int, *, keep: bool) -> _Sums:
    square, trusted_square, changed = 0.0, 0.0, 0
    deltas: list[np.ndarray] = []
    for ours, theirs in zip(pieces(candidate, elements), pieces(trusted, elements), strict=True):
        delta = ours.values - theirs.values
        square += float(np.square(delta, dtype=np.float64).sum())
        trusted_square += float(np.square(theirs.values, dtype=np.float64).sum())
        same = candidate.dtype == trusted.dtype
        changed += _differing_bits(ours.raw, theirs.raw) if same else _differing(ours.values, theirs.values)
        if keep:
            deltas.append(delta)
    return _Sums(math.sqrt(square), math.sqrt(trusted_square), changed, deltas if keep else None)


def _no_rank(tensor: Tensor, norm: float | None) -> str | None:
    if norm is None:
        return NOT_FINITE
    if norm == 0.0:
        return UNCHANGED
    if len(tensor.shape) < 2:
        return "not a matrix"
    return f"rows of more than {WIDEST:,} elements" if tensor.shape[-1] > WIDEST else None


def _rank(candidate: Tensor, trusted: Tensor, deltas: list[np.ndarray] | None, norm: float, elements: int) -> float:
    columns = candidate.shape[-1]

    def read() -> Iterator[np.ndarray]:
        for ours, theirs in zip(pieces(candidate, elements), pieces(trusted, elements), strict=True):
            yield _scaled(ours.values - theirs.values, norm, columns)

    # Taken from the list one by one, so that the differences are not held twice; the order of blocks has no effect.
    kept = None if deltas is None else [_scaled(deltas.pop(), norm, columns) for _ in range(len(deltas))]
    return stable_rank(read if kept is None else lambda: kept, columns, rng=np.random.default_rng(0))


def _scaled(delta: np.ndarray, norm: float, columns: int) -> np.ndarray:
    """In float64, because 1 / norm of a tiny change is beyond float32."""
    return (delta / np.float64(norm)).astype(np.float32).reshape(-1, columns)


def _same_bytes(candidate: Tensor, trusted: Tensor, piece: int) -> bool:
    if candidate.bytes != trusted.bytes:
        return False
    starts = range(0, candidate.bytes, piece)
    counts = (min(piece, candidate.bytes - start) for start in starts)
    return all(
        np.array_equal(read_bytes(candidate, start, count), read_bytes(trusted, start, count))
        for start, count in zip(starts, counts, strict=True)
    )


def _differing_bits(ours: np.ndarray, theirs: np.ndarray) -> int:
    whole = np.dtype(f"<u{ours.shape[1]}")
    return int(np.count_nonzero(ours.view(whole) != theirs.view(whole)))


def _differing(ours: np.ndarray, theirs: np.ndarray) -> int:
    return int(np.count_nonzero((ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs))))


def _unchanged(name: str, candidate: Tensor, trusted: Tensor) -> TensorDifference:
    reasons = {"trusted_norm": UNCHANGED, "stable_rank": UNCHANGED}
    dtypes = (candidate.dtype, trusted.dtype)
    return TensorDifference(name, candidate.shape, dtypes, 0.0, None, 0.0, None, 0.0, reasons)


def _unmeasured(name: str, candidate: Tensor | None, trusted: Tensor | None, why: str) -> TensorDifference:
    present = candidate or trusted
    assert present is not None
    dtypes = (candidate.dtype if candidate else None, trusted.dtype if trusted else None)
    reasons = dict.fromkeys(("norm", "trusted_norm", "relative", "stable_rank", "changed"), why)
    return TensorDifference(name, present.shape, dtypes, None, None, None, None, None, reasons)
