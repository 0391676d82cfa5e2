"""A run folder that holds what no run writes is refused by name; nothing is made of it."""

import shutil
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diffbehav.compare import compare
from diffbehav.errors import IntegrityError
from diffbehav.store.database import open_untrusted
from tests.compare.test_compare import collected

ANSWERS = "completions/candidate/part-000001.parquet"
SCORES = "scores/trusted-on-candidate/part-000001.parquet"
NO_CALLS = ("", "{}", "[1]", '[{"name": "a"}]', "[" * 5000)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collected(tmp_path_factory.mktemp("runs") / "run", candidate={})


@pytest.fixture
def run(untouched: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untouched, tmp_path / "run"))


def replace_third(path: Path, column: str, value: object) -> None:
    table = pq.read_table(path)
    field = table.schema.field(column)
    values = table[column].to_pylist()
    values[2] = value
    pq.write_table(table.set_column(table.schema.get_field_index(column), field, pa.array(values, field.type)), path)


@pytest.mark.parametrize(
    ("file", "column", "value", "said"),
    [
        (ANSWERS, "text", None, "the candidate answer, sample 0, turn 0, to condition .*: a value of it is missing"),
        (ANSWERS, "condition_id", None, "a value of it is missing"),
        (ANSWERS, "turn", -1, "its values contradict each other"),
        (ANSWERS, "turn", 1, "its values contradict each other"),
        (ANSWERS, "parse", "well", "its values contradict each other"),
        (ANSWERS, "parse", "failed", "its values contradict each other"),
        (ANSWERS, "condition_id", "f" * 64, "it answers no condition of its block"),
        (ANSWERS, "condition_id", "\x1b[31m", r"to condition '\\x1b\[31m': it answers no condition"),
        (ANSWERS, "token_ids", [-1], "its token ids are not all in 0..1112063"),
        (ANSWERS, "token_ids", [2**31 - 1], "its token ids are not all in"),
        (ANSWERS, "token_ids", [1, None], "its token ids are not all in"),
        *((ANSWERS, "calls", text, "its calls are no JSON array") for text in NO_CALLS),
        (SCORES, "k", None, "the scores do not fit the answers"),
        (SCORES, "top_ids", [1], "the scores do not fit the answers"),
        (SCORES, "logprobs", [], "the scores do not fit the answers"),
        ("conditions.parquet", "task", None, "task of condition .* cannot be None"),
        ("conditions.parquet", "year", "1812", "year of condition .* cannot be '1812'"),
        ("conditions.parquet", "prompt_tokens", 0, "prompt_tokens of condition .* cannot be 0"),
        ("vocabulary.parquet", "token_id", 2**31 - 1, "a token has no text, or an id that is none"),
        ("vocabulary.parquet", "text", None, "a token has no text, or an id that is none"),
    ],
)
def test_a_value_that_no_run_writes_is_refused_with_its_place(
    run: Path, file: str, column: str, value: object, said: str
) -> None:
    replace_third(run / file, column, value)
    with pytest.raises(IntegrityError, match=said):
        compare(run)
    assert not (run / "run.duckdb").exists()


@pytest.mark.parametrize(
    ("file", "of"),
    [
        (ANSWERS, "completions"),
        (SCORES, "scores of trusted on candidate"),
        ("conditions.parquet", "conditions.parquet"),
    ],
)
def test_a_row_that_is_there_twice_is_refused(run: Path, file: str, of: str) -> None:
    rows = pl.read_parquet(run / file)
    pl.concat([rows, rows.head(1)]).write_parquet(run / file)
    with pytest.raises(IntegrityError, match=f"{of}: condition_id.* = '{rows['condition_id'][0]}'.* is there twice"):
        compare(run)


def test_a_log_probability_that_is_no_number_leaves_its_distances_out_with_a_reason(run: Path) -> None:
    rows = pl.read_parquet(run / SCORES)
    spoilt = rows.with_row_index().with_columns(
        pl.when(pl.col("index") == 2).then(pl.col("logprobs").list.eval(pl.lit(float("nan"), pl.Float32)))
        .otherwise("logprobs").alias("logprobs")
    )  # fmt: skip
    spoilt.select(rows.columns).write_parquet(run / SCORES)
    compare(run)
    with open_untrusted(run / "run.duckdb") as connection:
        found = connection.execute(
            "SELECT distance, value, reason FROM divergences WHERE condition_id = ?", [rows["condition_id"][2]]
        ).fetchall()
    reasons = {distance: reason for distance, value, reason in found if value is None}
    assert "" not in reasons.values()
    assert {name for name in reasons if name.startswith("llr")} == {"llr_scan", "llr_sequence", "llr_token_max"}
    assert reasons["llr_scan"] == "a log-probability is not a number"
