"""Parquet parts: written under a temporary name and renamed, so that a part is either whole or absent."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from diffbehav.errors import InfrastructureError, IntegrityError
from diffbehav.records import well_formed

Schema: TypeAlias = pa.Schema
COMPLETIONS = pa.schema(
    [
        ("condition_id", pa.string()),
        ("sample", pa.int32()),
        ("turn", pa.int32()),
        ("seed", pa.int64()),
        ("text", pa.string()),
        ("content", pa.string()),
        ("token_ids", pa.list_(pa.int32())),
        ("finish_reason", pa.string()),
        ("parse", pa.string()),
        ("calls", pa.string()),
        ("results", pa.string()),
        ("prompt_digest", pa.string()),
        ("parse_reason", pa.string()),
    ]
)
SCORES = pa.schema(
    [
        ("condition_id", pa.string()),
        ("sample", pa.int32()),
        ("turn", pa.int32()),
        ("logprobs", pa.list_(pa.float32())),
        ("top_ids", pa.list_(pa.int32())),
        ("top_logprobs", pa.list_(pa.float32())),
        ("k", pa.int32()),
        ("reason", pa.string()),
    ]
)
BOUNDS = pa.schema(
    [
        ("condition_id", pa.string()),
        ("sample", pa.int32()),
        ("turn", pa.int32()),
        ("tv_lower", pa.list_(pa.float32())),
        ("tv_upper", pa.list_(pa.float32())),
        ("jsd_lower", pa.list_(pa.float32())),
        ("jsd_upper", pa.list_(pa.float32())),
        ("kl_lower", pa.list_(pa.float32())),
    ]
)
"""What is kept of the alternatives of both models at every token of an answer."""
EPISODES = pa.schema(
    [
        ("condition_id", pa.string()),
        ("side", pa.string()),
        ("sample", pa.int32()),
        ("turns", pa.int32()),
        ("ended", pa.string()),
        ("reason", pa.string()),
        ("state", pa.string()),
        ("state_digest", pa.string()),
    ]
)
CELLS = pa.schema([("condition_id", pa.string()), ("grid_index", pa.int64())])
"""Which cell of the grid a condition is that a search asked for."""
WIDE = pa.schema(
    [
        ("condition_id", pa.string()),
        ("grid_index", pa.int64()),
        ("answer", pa.int32()),
        ("value", pa.float64()),
        ("reason", pa.string()),
    ]
)
"""A context that was scored and not asked: by which stored answer of its task, and the score, or why there is none."""
_NUMBER_BYTES = 4
VOCABULARY = pa.schema([("token_id", pa.int32()), ("text", pa.string())])


def conditions_schema(factors: Sequence[str]) -> pa.Schema:
    """Schema of conditions.parquet for a suite with these factors, derived ones included."""
    return pa.schema(
        [("condition_id", pa.string()), ("grid_index", pa.int64()), ("task", pa.string())]
        + [(name, pa.string()) for name in factors]
        + [
            ("messages", pa.string()),
            ("tools", pa.string()),
            ("world", pa.string()),
            ("prompt_tokens", pa.int32()),
            ("prompt_ids", pa.list_(pa.int32())),
        ]
    )


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> None:
    """Write `columns` to `path` through `path`.tmp; raises InfrastructureError when the disk is full."""
    with writing_parquet(path, schema) as append:
        append(table_of(columns, schema))


def table_of(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """`columns` as an Arrow table, of strings what is `well_formed`."""
    arrays = [pa.array(_storable(columns[field.name], field.type), field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


@contextmanager
def writing_parquet(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Write `path` through `path`.tmp: each table that is given becomes one row group.

    InfrastructureError when the disk is full; `path` stays what it was unless the block ends without an error.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            with pq.ParquetWriter(stream, schema, **_encoding(schema)) as writer:
                yield lambda table: writer.write_table(table, row_group_size=max(1, table.num_rows))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> InfrastructureError:
    """The InfrastructureError that says what went wrong while writing `path` and how to go on."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InfrastructureError(
            f"the disk is full: {path} could not be written; free some space and repeat the same command, "
            "everything written so far is kept"
        )
    return InfrastructureError(f"{path} could not be written: {error.strerror}")


def read_parquet(path: Path, *, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The frame stored at `path`, or these columns of it; raises IntegrityError when the file is damaged."""
    try:
        return pl.read_parquet(path, columns=None if columns is None else list(columns), glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise damaged(error, path) from error


def read_part(path: Path, schema: Schema) -> pl.DataFrame:
    """The frame stored at `path`; IntegrityError when it is damaged or its columns are not those of `schema`."""
    try:
        # Opening is what takes the time of so small a file, and pyarrow takes half of what polars takes.
        with pq.ParquetFile(path) as file:
            frame = frame_of(file.read(use_threads=False))
    except (pa.ArrowException, OSError) as error:
        raise damaged(error, path) from error
    for name, kind in _kinds(schema).items():
        if frame.schema.get(name) != kind:
            found = frame.schema.get(name, "none")
            raise IntegrityError(
                f"{path}: column {name} is {found}, {kind} was expected; another version of diffbehav wrote this run, "
                "or somebody changed it: repeat its run command into another folder"
            )
    return frame.select(schema.names)


def frame_of(table: pa.Table) -> pl.DataFrame:
    """`table` as a frame; ArrowException where it holds what is no value of its columns, such as text not in UTF-8."""
    # Polars takes it for granted and would read beyond it.
    table.validate(full=True)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def unpacked_bytes(path: Path) -> int:
    """What the values stored at `path` take unpacked, at least, by its metadata; IntegrityError when it is damaged."""
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise damaged(error, path) from error
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    columns = [group.column(place) for group in groups for place in range(metadata.num_columns)]
    # A dictionary makes numbers that repeat small in the file alone.
    return sum(max(column.total_uncompressed_size, _NUMBER_BYTES * column.num_values) for column in columns)


@cache
def _kinds(schema: pa.Schema) -> pl.Schema:
    return frame_of(schema.empty_table()).schema


def damaged(error: Exception, path: Path) -> IntegrityError:
    """The IntegrityError of a file that is no whole Parquet file."""
    return IntegrityError(
        f"{path} cannot be read as Parquet ({str(error).splitlines()[0]}); delete this file and repeat the "
        "run: it is collected again, everything else is kept"
    )


def part_path(folder: Path, number: int) -> Path:
    """Path of part `number` in `folder`."""
    return folder / f"part-{number:06d}.parquet"


def _encoding(schema: pa.Schema) -> dict[str, Any]:
    """Log-probabilities hardly repeat: with their bytes split by place they take 40 % less than in a dictionary."""
    floats = [f"{field.name}.list.element" for field in schema if field.type == pa.list_(pa.float32())]
    others = [
        f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
        for field in schema
        if field.type != pa.list_(pa.float32())
    ]
    return {
        "compression": "zstd",
        "use_dictionary": others,
        "column_encoding": dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
    }


def _storable(values: Sequence[Any], kind: pa.DataType) -> Sequence[Any]:
    if not pa.types.is_string(kind):
        return values
    return [None if value is None else well_formed(value) for value in values]
