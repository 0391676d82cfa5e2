"""A Parquet file read a row group at a time, so that a large one is never in memory as a whole."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from diffbehav.errors import IntegrityError
from diffbehav.store.parts import damaged, frame_of


class RowGroups:
    """The rows of one file; IntegrityError where it is damaged."""

    def __init__(self, path: Path, *, columns: Sequence[str]) -> None:
        self._path = path
        self._columns = list(columns)
        try:
            self._file = pq.ParquetFile(path, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise damaged(error, path) from error
        absent = [name for name in columns if name not in self._file.schema_arrow.names]
        if absent:
            raise IntegrityError(
                f"{path} has no column {', '.join(absent)}; another version of diffbehav wrote this run, or somebody "
                "changed it: repeat its run command into another folder"
            )
        metadata = self._file.metadata
        self.starts: np.ndarray = np.cumsum([0, *(metadata.row_group(i).num_rows for i in range(len(self)))])
        """int64 [G + 1]: the first row of every group, then the number of rows."""
        self.read = lru_cache(maxsize=1)(self._read)
        """The rows of one group; the last one that was read is kept."""

    def __len__(self) -> int:
        return int(self._file.metadata.num_row_groups)

    def of(self, row: int) -> int:
        """The group that holds `row`."""
        return int(np.searchsorted(self.starts, row, side="right")) - 1

    def _read(self, group: int) -> pl.DataFrame:
        try:
            frame = frame_of(self._file.read_row_group(group, columns=self._columns, use_threads=False))
        except (pa.ArrowException, OSError) as error:
            raise damaged(error, self._path) from error
        return frame.select(self._columns)

    def each(self) -> Iterator[pl.DataFrame]:
        """All groups in order."""
        return map(self.read, range(len(self)))

    def rows(self, start: int, stop: int) -> pl.DataFrame:
        """The rows from `start` to before `stop`, at least one."""
        groups = range(self.of(start), self.of(stop - 1) + 1)
        return pl.concat(map(self.read, groups)).slice(start - int(self.starts[groups[0]]), stop - start)
