"""Refuses to open what is no file on a disk."""

from pathlib import Path

from diffbehav.errors import InputError


def check_regular(path: Path) -> None:
    """InputError for a pipe or a device, whose reading may never end, and for a link to nothing."""
    if not path.is_file():
        raise InputError(f"{path}: no regular file, or a link to none. Copy it from its source, or remove it.")
