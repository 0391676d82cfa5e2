"""Reads the JSON files of a model folder."""

from pathlib import Path
from typing import Any

from diffbehav.errors import InputError
from diffbehav.intake.regular import check_regular
from diffbehav.records import json_object

_LARGEST = 256 << 20


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; anything else is an InputError that names place and remedy."""
    check_regular(path)
    if path.stat().st_size > _LARGEST:
        raise InputError(f"{path}: {path.stat().st_size:,} bytes; at most {_LARGEST:,} are read of a JSON file.")
    try:
        return json_object(path.read_bytes().decode("utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: broken JSON ({error}). Copy the file again from its source.") from error
