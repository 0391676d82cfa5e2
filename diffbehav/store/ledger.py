"""The coverage ledger: which cells were asked of which pair of models, over all nights.

    <folder>/<digest of the key>/<run_id>.parquet        one file a run, never changed by another run

A new candidate, trusted model or suite has another key, and so starts from nothing.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from diffbehav.errors import InputError
from diffbehav.records import digest
from diffbehav.store.parts import read_parquet, write_parquet

LEDGER = pa.schema(
    [
        ("candidate", pa.string()),
        ("trusted", pa.string()),
        ("suite", pa.string()),
        ("run_id", pa.string()),
        ("grid_index", pa.int64()),
    ]
)


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

    runs: tuple[str, ...]
    """Run ids, sorted."""
    grid_indices: np.ndarray
    """int64: the cell of each condition of each run; a cell that two runs asked is there twice."""


def read_ledger(folder: Path, key: LedgerKey) -> Ledger:
    """What the ledger in `folder` holds for `key`; empty where nothing was appended yet."""
    paths = sorted(_place(folder, key).glob("*.parquet"))
    cells = [read_parquet(path)["grid_index"].to_numpy() for path in paths]
    return Ledger(tuple(path.stem for path in paths), np.concatenate([np.empty(0, dtype=np.int64), *cells]))


def append(folder: Path, key: LedgerKey, *, run_id: str, grid_indices: Sequence[int] | np.ndarray) -> None:
    """Add the cells that a run asked; a run that is appended again replaces its own entry and counts once."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", run_id):
        raise InputError(f"run id {run_id!r} cannot name a file; use letters, digits, `_`, `.` and `-`")
    same = {**key._asdict(), "run_id": run_id}
    columns: dict[str, Sequence[Any]] = {name: [value] * len(grid_indices) for name, value in same.items()}
    columns["grid_index"] = list(grid_indices)
    write_parquet(_place(folder, key) / f"{run_id}.parquet", columns, LEDGER)


def _place(folder: Path, key: LedgerKey) -> Path:
    return folder / digest(key._asdict())[:16]
