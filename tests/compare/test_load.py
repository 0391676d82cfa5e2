"""The parts of a run read in batches: how large they are, and that nothing depends on where they are cut."""

from pathlib import Path

import duckdb
import polars as pl
import pytest

from diffbehav.compare import compare, load
from diffbehav.store import RunFolder
from tests.collect.toy_run import planted_rule
from tests.compare.test_compare import collected


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collected(tmp_path_factory.mktemp("runs") / "run", candidate={"trigger": planted_rule, "drift": 0.2})


def cuts(run: Path, monkeypatch: pytest.MonkeyPatch, budget: int) -> list[list[int]]:
    monkeypatch.setattr(load, "BYTES_PER_BATCH", budget)
    return [list(batch.blocks) for batch in load.blocks_of(RunFolder(run), range(5))]


def test_a_batch_is_cut_by_what_its_parts_hold_and_has_a_block_at_least(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cuts(run, monkeypatch, 1) == [[0], [1], [2], [3], [4]]
    assert cuts(run, monkeypatch, 1 << 40) == [[0, 1, 2, 3, 4]]
    one = max(load.held(RunFolder(run), number) for number in range(5))
    assert cuts(run, monkeypatch, int(2.2 * one)) == [[0, 1], [2, 3], [4]]


def test_a_block_of_longer_answers_or_more_alternatives_counts_for_more(run: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for parts in (RunFolder(run).completions("trusted"), RunFolder(run).scores("trusted", "trusted")):
        frame = pl.read_parquet(parts / "part-000000.parquet")
        path = tmp_path / parts.relative_to(run) / "part-000000.parquet"
        path.parent.mkdir(parents=True)
        frame.write_parquet(path)
        before = load.held(folder, 0)
        lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
        frame.with_columns(pl.concat_list([name] * 9) for name in lists).write_parquet(path)
        assert load.held(folder, 0) > before + 4 * 8 * sum(frame[name].list.len().sum() for name in lists)


def test_what_a_comparison_says_does_not_depend_on_where_its_batches_are_cut(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "BYTES_PER_BATCH", 1 << 40)
    compare(run)
    together = tables(run)
    monkeypatch.setattr(load, "BYTES_PER_BATCH", 1)
    compare(run)
    alone = tables(run)
    assert together.keys() == alone.keys()
    for name, frame in together.items():
        assert frame.equals(alone[name]), name


def tables(run: Path) -> dict[str, pl.DataFrame]:
    """Every table, sorted by all its columns."""
    with duckdb.connect(str(run / "run.duckdb"), read_only=True) as connection:
        names = [name for (name,) in connection.sql("SELECT table_name FROM duckdb_tables()").fetchall()]
        return {name: connection.sql(f"SELECT * FROM {name} ORDER BY ALL").pl() for name in names}
