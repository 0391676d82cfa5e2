"""Two baselines side by side."""

import polars as pl
import pytest

from diffbehav.errors import IntegrityError
from diffbehav.store import BaselineFolder, RunFolder, compare_baselines, expire, pin, promote, read_manifest
from tests.store.pinnable import LATER, LIMIT, SIGNED


def answers_of(run: RunFolder) -> dict[tuple[str, int, int], tuple[str, str]]:
    rows = pl.read_parquet(run.completions("trusted") / "part-*.parquet")
    return {row[:3]: row[3:] for row in rows.select("condition_id", "sample", "turn", "text", "calls").iter_rows()}


def test_a_baseline_differs_from_its_copy_in_nothing_but_the_signature(
    pinned: BaselineFolder, finished: RunFolder, tmp_path
) -> None:
    other = BaselineFolder(tmp_path / "other")
    pin(finished, other, signed=LATER, expires=None)
    found = compare_baselines(pinned, other, examples=3)
    assert [path for path, _, _ in found.fields] == ["pinned.at", "pinned.by", "pinned.why"]
    assert found[1:] == (LIMIT, 0, 0, LIMIT, 0, 0, [])


def test_fields_answers_and_examples_of_another_trusted_model_are_those_of_a_plain_loop(
    pinned: BaselineFolder, finished: RunFolder, second: RunFolder, tmp_path
) -> None:
    other = BaselineFolder(tmp_path / "other")
    pin(second, other, signed=SIGNED, expires=None)
    found = compare_baselines(pinned, other, examples=5)
    fields = {path: (a, b) for path, a, b in found.fields}
    first, then = read_manifest(pinned), read_manifest(other)
    assert fields["digests.weights"] == (first["digests"]["weights"], then["digests"]["weights"])
    assert "digests.suite" not in fields and "digests.tokenizer" not in fields
    a, b = answers_of(finished), answers_of(second)
    changed = sorted(key for key in a if a[key] != b[key])
    assert 0 < len(changed) == found.text_differs < found.answers == LIMIT
    assert found.calls_differ == sum(a[key][1] != b[key][1] for key in a)
    assert [each[:3] for each in found.examples] == changed[:5]
    for each in found.examples:
        assert (each.first_text, each.first_calls) == a[each[:3]]
        assert (each.second_text, each.second_calls) == b[each[:3]]


def test_conditions_that_only_one_holds_are_counted(pinned: BaselineFolder, run: RunFolder, tmp_path) -> None:
    conditions = pl.read_parquet(run.conditions)
    other_id = pl.lit("other ") + pl.col("condition_id")
    renamed = pl.when(pl.int_range(pl.len()) < 3).then(other_id).otherwise("condition_id")
    conditions.with_columns(renamed.alias("condition_id")).write_parquet(run.conditions)
    other = BaselineFolder(tmp_path / "other")
    pin(run, other, signed=SIGNED, expires=None)
    found = compare_baselines(pinned, other, examples=0)
    assert (found.conditions, found.only_first, found.only_second) == (LIMIT - 3, 3, 3)


def test_the_history_and_files_follow_from_the_rest_and_a_damaged_baseline_is_not_compared(
    pinned: BaselineFolder, finished: RunFolder, tmp_path
) -> None:
    other = BaselineFolder(tmp_path / "other")
    pin(finished, other, signed=SIGNED, expires=None)
    promote(finished, other, signed=SIGNED, expires=None)
    assert compare_baselines(pinned, other, examples=1).fields == [("generation", 1, 2)]
    expire(other, signed=SIGNED)
    assert {path for path, _, _ in compare_baselines(pinned, other, examples=1).fields} == {"generation", "expired"}
    part = next(other.path.rglob("part-*.parquet"))
    part.write_bytes(part.read_bytes() + b"\0")
    with pytest.raises(IntegrityError, match=part.name):
        compare_baselines(pinned, other, examples=1)
