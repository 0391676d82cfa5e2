from pathlib import Path

import numpy as np
import pytest

from diffbehav.errors import InputError
from diffbehav.store import LedgerKey, append, read_ledger

KEY = LedgerKey(candidate="c1", trusted="t1", suite="s1")


def test_what_runs_asked_adds_up(tmp_path: Path) -> None:
    append(tmp_path, KEY, entry="night-1", grid_indices=[5, 2**62, 7])
    append(tmp_path, KEY, entry="night-2", grid_indices=np.array([7, 8]))
    entries, cells = read_ledger(tmp_path, KEY)
    assert entries == ("night-1", "night-2")
    assert cells.dtype == np.int64
    assert cells.tolist() == [5, 2**62, 7, 7, 8]


def test_another_candidate_trusted_model_or_suite_starts_at_zero(tmp_path: Path) -> None:
    append(tmp_path, KEY, entry="night-1", grid_indices=[5])
    for field in KEY._fields:
        other = read_ledger(tmp_path, KEY._replace(**{field: "another"}))
        assert other.entries == () and other.grid_indices.tolist() == []
    assert read_ledger(tmp_path, KEY).grid_indices.tolist() == [5]


def test_a_run_that_is_appended_again_counts_once(tmp_path: Path) -> None:
    append(tmp_path, KEY, entry="night-1", grid_indices=[5])
    append(tmp_path, KEY, entry="night-1", grid_indices=[5, 6])
    assert read_ledger(tmp_path, KEY).grid_indices.tolist() == [5, 6]


def test_a_run_that_asked_nothing_is_in_the_ledger(tmp_path: Path) -> None:
    append(tmp_path, KEY, entry="night-1", grid_indices=[])
    assert read_ledger(tmp_path, KEY).entries == ("night-1",)


@pytest.mark.parametrize("entry", ["", "../x", "a/b", ".hidden"])
def test_an_entry_that_leaves_the_folder_is_refused(tmp_path: Path, entry: str) -> None:
    with pytest.raises(InputError, match="cannot name a file"):
        append(tmp_path, KEY, entry=entry, grid_indices=[1])
