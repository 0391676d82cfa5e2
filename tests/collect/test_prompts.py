from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from diffbehav.collect import prompts
from diffbehav.collect.prompts import plan
from diffbehav.errors import InputError
from diffbehav.suite import load_suite
from tests.collect.toy_run import SUITE
from tests.planted import ToyRenderer


def test_conditions_are_collected_in_the_order_of_their_token_ids(tmp_path: Path) -> None:
    planned = plan(load_suite(SUITE), ToyRenderer(), tmp_path / "c.parquet", limit=None, context=1000)
    ids = [list(prompt.ids) for prompt in planned.prompts]
    assert ids == sorted(ids)
    assert len({prompt.condition_id for prompt in planned.prompts}) == 600


def test_a_planned_run_is_read_back_instead_of_drawn_again(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    first = plan(load_suite(SUITE), ToyRenderer(), path, limit=50, context=1000)
    again = plan(load_suite(SUITE), ToyRenderer(), path, limit=None, context=1000)
    assert list(again.prompts) == list(first.prompts)
    assert (again.replicated == first.replicated).all()
    assert first.replicated.sum() == 10


def test_prompts_that_do_not_fit_are_named_with_task_and_levels_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"600 of 600 prompts do not fit.*\(16\).*context of 80 tokens") as error:
        plan(load_suite(SUITE), ToyRenderer(), tmp_path / "c.parquet", limit=None, context=80)
    assert "task '" in str(error.value)
    assert "'user': '" in str(error.value)
    assert not (tmp_path / "c.parquet").exists()


def test_prompts_rendered_in_several_chunks_and_processes_are_those_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parted = tmp_path / "whole.parquet", tmp_path / "parted.parquet"
    first = plan(load_suite(SUITE), ToyRenderer(), whole, limit=None, context=1000)
    monkeypatch.setattr(prompts, "DRAWN_AT_ONCE", 170)
    monkeypatch.setattr(prompts, "ROW_GROUP", 70)
    again = plan(load_suite(SUITE), ToyRenderer(), parted, limit=None, context=1000)
    assert_frame_equal(pl.read_parquet(parted), pl.read_parquet(whole))
    assert len(again.prompts) == 600 and again.prompts[599] == first.prompts[-1]
    assert again.prompts[60:150] == first.prompts[60:150]
    assert set(tmp_path.iterdir()) == {whole, parted}
