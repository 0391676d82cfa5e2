"""Rows of `divergences` for conditions that have no number."""

import polars as pl

from diffbehav.compare.aggregate import AT_ONCE, NOT_COLLECTED, uncollected


def test_the_rows_of_what_was_not_collected_are_made_some_thousand_conditions_at_a_time() -> None:
    ids = pl.Series("condition_id", [str(i) for i in range(2 * AT_ONCE + 7)])
    frames = list(uncollected(ids, distances=["a", "b"]))
    assert [frame.height for frame in frames] == [2 * AT_ONCE, 2 * AT_ONCE, 14]
    whole = pl.concat(frames)
    assert whole["value"].null_count() == whole.height == whole.n_unique(["condition_id", "distance"])
    assert set(whole["condition_id"]) == set(ids) and whole["reason"].unique().to_list() == [NOT_COLLECTED]
