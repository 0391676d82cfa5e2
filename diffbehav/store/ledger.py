"""The coverage ledger: which cells were asked of which pair of models, over all nights.

    <folder>/<digest of the key>/<entry>.parquet         one file a run, never changed by another run

A new candidate, trusted model or suite has another key, and so starts from nothing.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from diffbehav.errors import InputError, IntegrityError
from diffbehav.records import digest
from diffbehav.store.parts import disk_error, read_parquet, write_parquet

LEDGER = pa.schema(
    [
        ("candidate", pa.string()),
        ("trusted", pa.string()),
        ("suite", pa.string()),
        ("entry", pa.string()),
        ("grid_index", pa.int64()),
    ]
)
EARLIER = pa.schema([("grid_index", pa.int64())])
"""What a run folder keeps of the ledger: the cells that were asked before it."""


class LedgerKey(NamedTuple):
    """What exposures add up for."""

    candidate: str
    """Digest of the candidate, adapter included."""
    trusted: str
    """Digest of the trusted model."""
    suite: str
    """Digest of the suite."""


class Ledger(NamedTuple):
    """Everything that was asked under one key."""

    entries: tuple[str, ...]
    """One a run, sorted."""
    grid_indices: np.ndarray
    """int64: the cell of each condition of each run; a cell that two runs asked is there twice."""


def read_ledger(folder: Path, key: LedgerKey) -> Ledger:
    """What the ledger in `folder` holds for `key`; empty where nothing was appended yet."""
    paths = sorted(_place(folder, key).glob("*.parquet"))
    cells = [_cells(path) for path in paths]
    return Ledger(tuple(path.stem for path in paths), np.concatenate([np.empty(0, dtype=np.int64), *cells]))


def open_ledger(folder: Path, key: LedgerKey) -> Ledger:
    """`read_ledger`, after making sure that the place can be written to; InfrastructureError where it cannot."""
    try:
        _place(folder, key).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from error
    return read_ledger(folder, key)


def append(folder: Path, key: LedgerKey, *, entry: str, grid_indices: Sequence[int] | np.ndarray) -> None:
    """Add the cells that a run asked; what is appended again under one `entry` replaces it and counts once."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", entry):
        raise InputError(f"entry {entry!r} cannot name a file; use letters, digits, `_`, `.` and `-`")
    same = {**key._asdict(), "entry": entry}
    columns: dict[str, Sequence[Any]] = {name: [value] * len(grid_indices) for name, value in same.items()}
    columns["grid_index"] = list(grid_indices)
    write_parquet(_place(folder, key) / f"{entry}.parquet", columns, LEDGER)


def _cells(path: Path) -> np.ndarray:
    try:
        return read_parquet(path)["grid_index"].to_numpy()
    except IntegrityError as error:
        raise IntegrityError(
            f"{path} of the coverage ledger is damaged; delete it, and what its run asked is counted no more"
        ) from error


def _place(folder: Path, key: LedgerKey) -> Path:
    return folder / digest(key._asdict())[:16]
