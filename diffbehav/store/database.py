"""run.duckdb: made from frames as a new file and renamed; opened read-only and locked down."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from diffbehav.errors import InfrastructureError, InputError, IntegrityError

QueryError = duckdb.Error
"""What a statement raises that the database refuses, for instance a view that wants to read another file."""
_MEMORY = "1GB"
"""Of DuckDB while a database is built, which would take most of the machine's otherwise; the rest goes to disk."""
LOCKED_DOWN: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "lock_configuration": "true",
}


def schema_sql(factors: Sequence[str]) -> str:
    """The statements that create an empty run.duckdb for a suite with these factors."""
    columns = "\n    ".join(f"{quoted(name)} VARCHAR NOT NULL," for name in factors)
    text = resources.files("diffbehav.store").joinpath("schema.sql").read_text(encoding="utf-8")
    return text.replace("{factor_columns}", columns)


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def building(path: Path, factors: Sequence[str]) -> Iterator["Builder"]:
    """A Builder of a new database that replaces `path` when the block ends without an error."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    connection = duckdb.connect(str(temporary), config={"memory_limit": _MEMORY})
    try:
        connection.execute(schema_sql(factors))
        yield Builder(connection)
        connection.execute("CHECKPOINT")
    except duckdb.IOException as error:
        raise InfrastructureError(f"{path} could not be written: {error}") from error
    finally:
        connection.close()
    temporary.replace(path)


class Builder:
    """Appends frames to the tables of a database that is being built."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Append `frame` to `table` by column name; the table's constraints are checked."""
        if frame.is_empty():
            return
        names = ", ".join(quoted(name) for name in frame.columns)
        self._connection.register("frame", frame.to_arrow())
        self._connection.execute(f"INSERT INTO {quoted(table)} ({names}) SELECT {names} FROM frame")
        self._connection.unregister("frame")

    def execute(self, statement: str, **values: Any) -> None:
        """Run a statement that fills tables from other tables; `values` are its parameters `$name`."""
        self._connection.execute(statement, values)


def open_untrusted(path: Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection that can reach nothing but `path`: no files, no network, no extensions."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; make it with `diffbehav compare {path.parent}`")
    try:
        return duckdb.connect(str(path), read_only=True, config=LOCKED_DOWN)
    except (duckdb.IOException, duckdb.CatalogException, duckdb.SerializationException) as error:
        raise IntegrityError(f"{path} cannot be opened as a DuckDB database: {error}") from error
