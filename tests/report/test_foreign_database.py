"""A database of somebody else, whose words need not be those that the schema allows."""

import json
from pathlib import Path

import duckdb
import pytest

from diffbehav.errors import IntegrityError
from diffbehav.report import findings_json
from tests.report.synthetic import make_run

BAD = "\x1b[2J\x1b]0;mine\x07NO_DIVERGENCE_FOUND"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose tables keep no constraint."""
    run = make_run(tmp_path_factory.mktemp("foreign"), hostile=[])
    with duckdb.connect(str(run / "run.duckdb")) as connection:
        for table in ("run", "findings", "sentinels"):
            connection.execute(f"CREATE TABLE copied AS FROM {table}")
            connection.execute(f"DROP TABLE {table}")
            connection.execute(f"ALTER TABLE copied RENAME TO {table}")
    return run


@pytest.mark.parametrize(
    ("change", "value", "said"),
    [
        ("UPDATE run SET value = $1 WHERE key = 'verdict'", json.dumps(BAD), "the verdict is"),
        ("UPDATE run SET value = $1 WHERE key = 'verdict'", '["DIVERGENT"]', "the verdict is"),
        ("UPDATE run SET value = $1 WHERE key = 'verdict'", "null", "the verdict is None"),
        ("UPDATE run SET value = $1 WHERE key = 'verdict'", "DIVERGENT", "is no JSON"),
        ("UPDATE findings SET status = $1 WHERE rank = 1", BAD, "status of finding 'F001' is"),
        ("UPDATE findings SET kind = $1 WHERE rank = 1", BAD, "kind of finding 'F001' is"),
        ("UPDATE findings SET severity = $1 WHERE rank = 1", BAD, "severity of finding 'F001' is"),
        ("UPDATE findings SET flagged_by = $1 WHERE rank = 1", BAD, "flagged_by of finding 'F001' is"),
        ("UPDATE findings SET rule = $1 WHERE rank = 1", "[1]", "rule of finding 'F001' is no JSON object"),
        ("INSERT INTO sentinels (rule, runs, status) VALUES ('{}', '[]', $1)", BAD, "status of a rule"),
    ],
)
def test_a_word_that_no_database_of_diffbehav_has_is_an_integrity_error_that_names_it(
    run: Path, change: str, value: str, said: str
) -> None:
    before = (run / "run.duckdb").read_bytes()
    with duckdb.connect(str(run / "run.duckdb")) as connection:
        connection.execute(change, [value])
    try:
        with pytest.raises(IntegrityError, match=said) as error:
            findings_json(run)
    finally:
        (run / "run.duckdb").write_bytes(before)
    assert "\x1b" not in str(error.value)
