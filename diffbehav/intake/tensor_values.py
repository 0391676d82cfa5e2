"""Reads the values of safetensors in pieces of bounded size."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffbehav.errors import InputError
from diffbehav.intake.safetensors_header import Tensor, read_header
from diffbehav.intake.weight_files import weight_files

PIECE = 1 << 21
"""Elements that are read at once."""
WIDEST = 1 << 18
"""Columns up to which a matrix is read in whole rows."""
REAL = ("F64", "F32", "F16", "BF16")
"""Types whose stored values are the weights; integers and 8-bit floats stand for others by scales kept elsewhere."""


class Piece(NamedTuple):
    """Some consecutive values."""

    raw: np.ndarray
    """uint8 [N, bytes of an element]."""
    values: np.ndarray
    """float32 or float64 [N]."""


def weight_tensors(folder: Path) -> Mapping[str, Tensor]:
    """Tensor name -> place, in the files that an engine loads: those of the index, without one every safetensors file.

    InputError where two files have a tensor of one name, or a file of the index is missing.
    """
    found: dict[str, Tensor] = {}
    for path in weight_files(folder):
        for name, tensor in read_header(path).items():
            if name in found:
                raise InputError(
                    f"{folder}: {name!r} is in {found[name].path.name} and in {path.name}, and which of them counts "
                    "depends on the engine. Keep one, or name it in model.safetensors.index.json."
                )
            found[name] = tensor
    return found


def row_elements(tensor: Tensor, piece: int) -> int:
    """Elements per piece: whole rows of the last dimension where they fit."""
    columns = tensor.shape[-1] if tensor.shape else 1
    return max(piece // columns, 1) * columns if 0 < columns <= WIDEST else piece


def pieces(tensor: Tensor, elements: int) -> Iterator[Piece]:
    """The values of a tensor of a type in REAL, `elements` at a time."""
    width = tensor.bytes // max(tensor.elements, 1)
    for start in range(0, tensor.elements, elements):
        count = min(elements, tensor.elements - start)
        raw = read_bytes(tensor, start * width, count * width)
        yield Piece(raw.reshape(count, width), _decoded(raw, tensor.dtype))


def read_bytes(tensor: Tensor, start: int, count: int) -> np.ndarray:
    """uint8 [count] from byte `start` of the tensor on; InputError where the file has become shorter."""
    raw = np.fromfile(tensor.path, np.uint8, count, offset=tensor.offset + start)
    if len(raw) != count:
        raise InputError(f"{tensor.path}: ends before byte {tensor.offset + start + count}. Do not write it meanwhile.")
    return raw


def _decoded(raw: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        return (raw.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    stored = raw.view({"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype])
    return stored.astype(np.float32) if dtype == "F16" else stored
