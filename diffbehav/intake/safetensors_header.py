"""Reads what a safetensors file declares, without loading a weight."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffbehav.errors import InputError

_LENGTH_BYTES = 8
_LARGEST_HEADER = 100_000_000


def tensor_shapes(path: Path) -> Mapping[str, tuple[int, ...]]:
    """Tensor name -> shape, after checking that the file holds exactly the bytes its header declares."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or not 0 < length <= min(size - _LENGTH_BYTES, _LARGEST_HEADER):
            raise _corrupt(path, f"a header of {length} bytes does not fit a file of {size} bytes")
        text = file.read(length)
    try:
        header = json.loads(text)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        shapes = {name: tuple(int(n) for n in entry["shape"]) for name, entry in tensors.items()}
        end = max((_end(entry) for entry in tensors.values()), default=0)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise _corrupt(path, f"the header cannot be read ({error!r})") from error
    held = size - _LENGTH_BYTES - length
    if end != held:
        raise _corrupt(path, f"the header declares {end} bytes of weights, the file holds {held}")
    return shapes


def _end(entry: Mapping[str, Any]) -> int:
    start, end = entry["data_offsets"]
    if not 0 <= start <= end:
        raise ValueError(f"data_offsets {entry['data_offsets']!r}")
    return int(end)


def _corrupt(path: Path, why: str) -> InputError:
    return InputError(f"{path}: not a whole safetensors file: {why}. Copy the file again from its source.")
