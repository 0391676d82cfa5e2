from pathlib import Path

import duckdb
import polars as pl
import pytest

from diffbehav.errors import InputError, IntegrityError
from diffbehav.store import building, open_untrusted

DOCUMENTED = {
    "run", "factors", "levels", "conditions", "completions", "divergences", "spans", "argument_changes", "screen",
    "findings", "positions", "coverage_columns", "coverage", "coverage_pairs", "underexposed", "detectable",
    "episodes", "world_changes", "outcomes", "slices", "sentinels", "code_blocks", "code_findings", "violations",
}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "run.duckdb"
    with building(path, ["date", 'odd "name"']) as builder:
        builder.append("run", pl.DataFrame({"key": ["run_id"], "value": ['"r"']}))
    return path


def test_the_schema_has_the_documented_tables_and_a_column_per_factor(database: Path) -> None:
    connection = open_untrusted(database)
    assert {row[0] for row in connection.sql("SHOW TABLES").fetchall()} == DOCUMENTED
    assert {"date", 'odd "name"'} <= {row[0] for row in connection.sql("DESCRIBE conditions").fetchall()}


@pytest.mark.parametrize(("value", "reason"), [(None, None), (0.0, "both")])
def test_a_divergence_has_a_value_or_a_reason_and_never_both_or_none(
    tmp_path: Path, value: float | None, reason: str | None
) -> None:
    row = {"condition_id": ["c"], "distance": ["d"], "value": [value], "reason": [reason]}
    frame = pl.DataFrame(row, schema_overrides={"value": pl.Float64, "reason": pl.String})
    with (
        pytest.raises(duckdb.ConstraintException, match="CHECK"),
        building(tmp_path / "run.duckdb", ["date"]) as builder,
    ):
        builder.append("divergences", frame)
    assert not (tmp_path / "run.duckdb").exists()


def test_a_failed_build_leaves_the_old_database(database: Path) -> None:
    with pytest.raises(ZeroDivisionError), building(database, ["date"]):
        raise ZeroDivisionError
    assert open_untrusted(database).sql("SELECT value FROM run").fetchall() == [('"r"',)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY run TO 'out.csv'",
        "ATTACH 'other.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "INSERT INTO run VALUES ('a', 'b')",
    ],
)
def test_an_opened_database_reaches_nothing_else_and_cannot_be_changed(database: Path, statement: str) -> None:
    with pytest.raises(duckdb.Error):
        open_untrusted(database).sql(statement).fetchall()


def test_a_view_that_reads_a_local_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.duckdb"
    with duckdb.connect(str(path)) as stranger:
        stranger.execute("CREATE VIEW run AS SELECT * FROM read_text('/etc/hostname')")
    with pytest.raises(duckdb.PermissionException):
        open_untrusted(path).sql("SELECT * FROM run").fetchall()


def test_a_missing_or_damaged_database_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="diffbehav compare"):
        open_untrusted(tmp_path / "run.duckdb")
    (tmp_path / "run.duckdb").write_bytes(b"no database")
    with pytest.raises(IntegrityError, match="cannot be opened"):
        open_untrusted(tmp_path / "run.duckdb")
