"""Reads what a safetensors file declares, without loading a weight."""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from diffbehav.errors import InputError

_LENGTH_BYTES = 8
_LARGEST_HEADER = 100_000_000
_MOST_DIMENSIONS = 16
_MOST_ELEMENTS = 1 << 63
_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "BOOL": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1,
}  # fmt: skip
"""Bytes of an element of the types whose size is fixed and known here."""


class Tensor(NamedTuple):
    """Where the values of one tensor lie."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int
    """First byte in the file."""
    bytes: int

    @property
    def elements(self) -> int:
        """How many values the shape has; 1 for a scalar."""
        return prod(self.shape)


def tensor_shapes(path: Path) -> Mapping[str, tuple[int, ...]]:
    """Tensor name -> shape, after checking that the file holds exactly the bytes its header declares."""
    return {name: tensor.shape for name, tensor in read_header(path).items()}


def read_header(path: Path) -> Mapping[str, Tensor]:
    """Tensor name -> place, after checking that the tensors fill the file without gap or overlap."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or not 0 < length <= min(size - _LENGTH_BYTES, _LARGEST_HEADER):
            raise _corrupt(path, f"a header of {length} bytes does not fit a file of {size} bytes")
        text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_once)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        tensors = {name: _tensor(path, entry, _LENGTH_BYTES + length) for name, entry in entries.items()}
    except (ValueError, AttributeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise _corrupt(path, f"the header cannot be read ({error!r:.200})") from error
    _check_filled(path, tensors, start=_LENGTH_BYTES + length, size=size)
    return tensors


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers disagree about which of two equal keys counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is declared twice")
    return found


def _tensor(path: Path, entry: Mapping[str, Any], start: int) -> Tensor:
    first, end = entry["data_offsets"]
    if len(entry["shape"]) > _MOST_DIMENSIONS:
        raise ValueError(f"a shape of {len(entry['shape']):,} dimensions")
    shape = tuple(int(n) for n in entry["shape"])
    tensor = Tensor(path, str(entry["dtype"]), shape, start + int(first), int(end) - int(first))
    if not 0 <= first <= end or min(shape, default=0) < 0:
        raise ValueError(f"data_offsets {entry['data_offsets']!r} of shape {shape!r}")
    if tensor.elements > _MOST_ELEMENTS:
        raise ValueError(f"{tensor.elements} elements")
    width = _BYTES.get(tensor.dtype)
    if width is not None and tensor.elements * width != tensor.bytes:
        raise ValueError(f"shape {shape!r} of {tensor.dtype} in {tensor.bytes} bytes")
    return tensor


def _check_filled(path: Path, tensors: Mapping[str, Tensor], *, start: int, size: int) -> None:
    end = start
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.offset, tensor.bytes)):
        if tensor.offset != end:
            raise _corrupt(path, f"a tensor begins at byte {tensor.offset - start}, not at {end - start}")
        end += tensor.bytes
    if end != size:
        raise _corrupt(path, f"the header declares {end - start} bytes of weights, the file holds {size - start}")


def _corrupt(path: Path, why: str) -> InputError:
    return InputError(f"{path}: not a whole safetensors file: {why}. Copy the file again from its source.")
