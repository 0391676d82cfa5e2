"""Rows written in the order of a list column, however many there are: sorted runs on disk, merged a batch at a time."""

import heapq
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from diffbehav.store.parts import disk_error, table_of, writing_parquet

_BATCH = 128
"""Rows of each run in memory while the runs are merged."""


class _Row(NamedTuple):
    """Compared in this order, and no further than the first three."""

    key: bytes
    run: int
    number: int
    place: int
    batch: pa.RecordBatch


def write_sorted(
    path: Path, chunks: Iterable[Mapping[str, Sequence[Any]]], schema: pa.Schema, *, by: str, group: int
) -> None:
    """Write the rows of all `chunks` to `path`, ordered by their lists of int32 >= 0 in column `by`.

    Equal ones stay as given. Row groups have `group` rows. In memory are one chunk, or a few rows of each.
    InfrastructureError when the disk is full.
    """
    folder = path.with_name(path.name + ".runs")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        runs = [_write_run(folder / f"{i:06d}.arrow", table_of(chunk, schema), by) for i, chunk in enumerate(chunks)]
        merged = heapq.merge(*(_rows(run, number, by) for number, run in enumerate(runs)))
        with writing_parquet(path, schema) as append:
            while rows := list(islice(merged, group)):
                append(_gathered(rows))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_run(path: Path, table: pa.Table, by: str) -> Path:
    keys = _keys(table[by].combine_chunks())
    ordered = table.take(pa.array(sorted(range(len(keys)), key=keys.__getitem__), pa.int64()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with path.open("wb") as stream, pa.ipc.new_file(stream, table.schema, options=options) as writer:
            writer.write_table(ordered, max_chunksize=_BATCH)
    except OSError as error:
        raise disk_error(error, path) from error
    return path


def _rows(path: Path, run: int, by: str) -> Iterator[_Row]:
    for index in count():
        with pa.ipc.open_file(path) as reader:
            if index == reader.num_record_batches:
                return
            batch = reader.get_batch(index)
        for place, key in enumerate(_keys(batch.column(by))):
            yield _Row(key, run, index * _BATCH + place, place, batch)


def _keys(lists: pa.ListArray) -> list[bytes]:
    """Bytes that sort as the lists do."""
    offsets = lists.offsets.to_numpy() * 4
    whole = lists.values.to_numpy().astype(">u4").tobytes()
    return [whole[start:stop] for start, stop in zip(offsets[:-1], offsets[1:], strict=True)]


def _gathered(rows: Sequence[_Row]) -> pa.Table:
    batches = {id(row.batch): row.batch for row in rows}
    lengths = [batch.num_rows for batch in batches.values()]
    starts = dict(zip(batches, np.cumsum([0, *lengths[:-1]]), strict=True))
    places = np.array([starts[id(row.batch)] + row.place for row in rows], dtype=np.int64)
    return pa.Table.from_batches(list(batches.values())).take(pa.array(places))
