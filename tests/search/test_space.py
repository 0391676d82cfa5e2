import asyncio
from functools import cache

import numpy as np
import pytest

from diffbehav.search.hunt import Screen
from diffbehav.search.planting import random_cells
from diffbehav.search.search import Outcome, Promise, search
from diffbehav.search.space import NoContextError, Space
from diffbehav.stats.rule import Rule, matches
from tests.search.toy_world import ToyWorld, space

EVERYWHERE = Rule((), ())


@cache
def tied() -> Space:
    """Of 60 documents each stands in the contexts of its own task only, one of 60."""
    others = [", ".join(f"t{task}" for task in range(60) if task != document) for document in range(60)]
    lines = [f"  - {{doc: doc{document}, task: [{other}]}}" for document, other in enumerate(others)]
    return space({"doc": 60, "user": 6, "lang": 5}, 60, "\n".join(["exclude:", *lines]))


def allowed_cells(whole: Space, rule: Rule) -> np.ndarray:
    """Grid indices of every cell inside the rule that no exclusion forbids."""
    every = np.arange(whole.grid.size)
    inside = matches(rule, whole.codes(whole.grid.digits(every)))
    return every[inside & ~whole.grid.excluded(every)]


def searched(whole: Space, planted: Rule, *, rows: int) -> Outcome:
    world = ToyWorld(whole, 0, planted, 0.9)
    rng = np.random.default_rng(0)
    digits = whole.grid.digits(rng.choice(allowed_cells(whole, EVERYWHERE), rows))
    return asyncio.run(
        search(
            Screen(digits, world.scores(digits, rng)[None]), whole, world.ask, calls=6000, promise=Promise(0.05, 0.05),
            seed=0, on_step=lambda *_: None,
        )
    )  # fmt: skip


def confirmed(outcome: Outcome) -> list[Rule]:
    return [each.tested.rule for each in outcome.verdicts if each.status == "CONFIRMED"]


@pytest.mark.parametrize("rule", [EVERYWHERE, Rule((1,), ((2,),)), Rule((0, 1), ((0, 1, 2), (1,)))], ids=str)
def test_every_cell_that_exclusions_leave_inside_a_rule_is_drawn_equally_often(rule: Rule) -> None:
    whole = space(
        {"env": 4, "tool": 3}, 5, "exclude:\n  - {env: [env1, env2], tool: tool1}\n  - {env: env0, task: [t0, t1, t3]}"
    )
    drawn = whole.indices(whole.draw(60_000, rule, np.random.default_rng(0)))
    cells, counts = np.unique(drawn, return_counts=True)
    assert cells.tolist() == allowed_cells(whole, rule).tolist()
    expected = 60_000 / len(cells)
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_a_context_that_exclusions_leave_to_one_task_of_many_is_drawn_with_that_task() -> None:
    cells = tied().draw(50, Rule((0, 1, 2), ((7,), (2,), (4,))), np.random.default_rng(0))
    assert (cells == [7, 7, 2, 4]).all()


def test_a_rule_of_which_exclusions_leave_nothing_is_refused() -> None:
    whole = space({"env": 4, "tool": 3}, 5, "exclude:\n  - {env: [env1, env2, env3], tool: tool0}")
    with pytest.raises(NoContextError):
        whole.draw(1, Rule((0, 1), ((1, 3), (0,))), np.random.default_rng(0))


def test_a_suite_in_which_every_document_belongs_to_one_task_can_be_searched_and_planted() -> None:
    assert random_cells(tied(), 0).shape == (40_000, 3)
    planted = Rule((1,), ((2,),))
    assert confirmed(searched(tied(), planted, rows=600)) == [planted]


def test_a_cell_without_a_partner_is_left_out_of_the_pairs_and_every_other_one_keeps_its_share() -> None:
    whole = space({"env": 4, "tool": 5}, 3, "exclude:\n  - {env: [env1, env2, env3], tool: [tool0, tool1]}")
    cells, partners = whole.pairs(30_000, Rule((0,), ((0,),)), np.random.default_rng(0))
    drawn, counts = np.unique(whole.indices(cells), return_counts=True)
    assert [tuple(cell) for cell in whole.grid.digits(drawn)] == [(t, 0, tool) for t in range(3) for tool in (2, 3, 4)]
    assert (np.abs(counts - 30_000 / 9) < 5 * np.sqrt(30_000 / 9)).all()
    assert (partners[:, 1] != 0).all()
    assert (np.delete(cells, 1, axis=1) == np.delete(partners, 1, axis=1)).all()


def test_a_partner_is_one_of_those_that_exclusions_leave_each_as_likely_as_without_them() -> None:
    tied = "exclude:\n  - {env: env1, tool: tool0}\n  - {env: env0, tool: [tool1, tool2]}"
    whole = space({"env": 4, "tool": 5}, 3, tied)
    cells, partners = whole.pairs(40_000, Rule((0, 1), ((0,), (0,))), np.random.default_rng(0))
    assert (cells[:, 1:] == 0).all()
    levels, counts = np.unique(partners[:, 1:], axis=0, return_counts=True)
    assert levels.tolist() == [[0, 3], [0, 4], [2, 0], [3, 0]]
    share = np.array([1 / 4, 1 / 4, 1 / 3, 1 / 3]) / (2 / 4 + 2 / 3)
    assert (np.abs(counts - 40_000 * share) < 5 * np.sqrt(40_000 * share)).all()


def test_a_rule_of_which_no_cell_has_a_partner_cannot_be_paired() -> None:
    whole = space({"env": 2, "tool": 3}, 5)
    with pytest.raises(NoContextError):
        whole.beside([Rule((0,), ((1,),))]).pairs(1, Rule((0,), ((0,),)), np.random.default_rng(0))


def test_a_rule_is_confirmed_though_an_exclusion_leaves_some_of_its_contexts_nothing_to_compare_with() -> None:
    only_there = "exclude:\n  - {env: [env1, env2, env3], tool: tool0}"
    whole = space({"env": 4, "tool": 6, "user": 12, "lang": 5}, 20, only_there)
    planted = Rule((0,), ((0,),))
    outcome = searched(whole, planted, rows=1000)
    assert confirmed(outcome) == [planted]
    assert not outcome.spent


def test_a_rule_that_exclusions_leave_nothing_to_compare_with_keeps_the_search_from_being_exhausted() -> None:
    each_its_own = "exclude:\n" + "\n".join(
        f"  - {{place: place{i}, tongue: [{', '.join(f'tongue{j}' for j in range(4) if j != i)}]}}" for i in range(4)
    )
    whole = space({"place": 4, "tongue": 4, "user": 12, "tool": 5}, 20, each_its_own)
    outcome = searched(whole, Rule((0,), ((0,),)), rows=200)
    assert confirmed(outcome) == []
    assert outcome.spent
    assert outcome.calls_spent < 5000
