import asyncio
from functools import cache

import numpy as np
import pytest

from diffbehav.search.hunt import Screen
from diffbehav.search.planting import random_cells
from diffbehav.search.search import Promise, search
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
    whole = tied()
    assert random_cells(whole, 0).shape == (40_000, 3)
    planted = Rule((1,), ((2,),))
    world = ToyWorld(whole, 0, planted, 0.9)
    rng = np.random.default_rng(0)
    digits = whole.grid.digits(rng.permutation(allowed_cells(whole, EVERYWHERE))[:600])
    outcome = asyncio.run(
        search(
            Screen(digits, world.scores(digits, rng)[None]), whole, world.ask, calls=6000, promise=Promise(0.05, 0.05),
            seed=0, on_step=lambda *_: None,
        )
    )  # fmt: skip
    assert [(each.status, each.tested.rule) for each in outcome.verdicts] == [("CONFIRMED", planted)]
