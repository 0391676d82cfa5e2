import resource
import signal
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diffbehav.errors import InfrastructureError, IntegrityError
from diffbehav.store import COMPLETIONS, VOCABULARY, RowGroups, read_parquet, read_part, write_parquet

ROW = {
    "condition_id": ["c"], "sample": [0], "turn": [0], "seed": [1], "text": ["a\ud800b"], "content": [""],
    "token_ids": [[1, 2]],
    "finish_reason": ["stop"], "parse": ["none"], "calls": ["[]"], "results": [None], "prompt_digest": [None],
    "parse_reason": [None],
}


def test_a_part_reads_back_as_written_with_lone_surrogates_replaced(tmp_path: Path) -> None:
    write_parquet(tmp_path / "deep" / "part.parquet", ROW, COMPLETIONS)
    row = read_parquet(tmp_path / "deep" / "part.parquet").row(0, named=True)
    assert row["text"] == "a\N{REPLACEMENT CHARACTER}b"
    assert row["token_ids"] == [1, 2]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["part.parquet"]


def test_an_empty_part_keeps_its_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path / "part.parquet", {name: [] for name in COMPLETIONS.names}, COMPLETIONS)
    assert read_parquet(tmp_path / "part.parquet").columns == COMPLETIONS.names


@pytest.mark.parametrize("content", [b"", b"PAR1 not really", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_damaged_part_is_an_integrity_error_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "part-000007.parquet"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="part-000007.parquet.*delete this file"):
        read_parquet(path)


@pytest.mark.parametrize(
    "read",
    [read_parquet, lambda path: read_part(path, VOCABULARY), lambda path: RowGroups(path, columns=["text"]).read(0)],
)
def test_a_text_that_is_not_utf_8_is_an_integrity_error(tmp_path: Path, read: Callable[[Path], pl.DataFrame]) -> None:
    text = pa.array([b"\xff and more than a word"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"token_id": pa.array([1], pa.int32()), "text": text}), tmp_path / "part-000007.parquet")
    with pytest.raises(IntegrityError, match="part-000007.parquet.*delete this file"):
        read(tmp_path / "part-000007.parquet")


def test_a_disk_that_refuses_more_bytes_is_an_infrastructure_error_and_leaves_no_part(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(InfrastructureError, match="could not be written"):
            write_parquet(tmp_path / "part.parquet", {"token_id": [1], "text": ["x"]}, VOCABULARY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert not (tmp_path / "part.parquet").exists()


def test_a_full_disk_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "part.parquet.tmp").symlink_to("/dev/full")
    with pytest.raises(InfrastructureError, match="the disk is full.*everything written so far is kept"):
        write_parquet(tmp_path / "part.parquet", {"token_id": [1], "text": ["x"]}, VOCABULARY)
