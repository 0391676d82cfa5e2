from pathlib import Path

import pytest

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
    assert again.prompts == first.prompts
    assert (again.replicated == first.replicated).all()
    assert first.replicated.sum() == 10


def test_prompts_that_do_not_fit_are_named_with_task_and_levels_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"600 of 600 prompts do not fit.*\(16\).*context of 80 tokens") as error:
        plan(load_suite(SUITE), ToyRenderer(), tmp_path / "c.parquet", limit=None, context=80)
    assert "task '" in str(error.value)
    assert "'user': '" in str(error.value)
    assert not (tmp_path / "c.parquet").exists()
