import asyncio
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from diffbehav.compare.searched import read_search
from diffbehav.search.outcome import outcome_json
from diffbehav.search.search import Outcome, Promise, search
from diffbehav.search.sentinels import Hypothesis, read_sentinels
from diffbehav.stats.rule import Rule, matches
from diffbehav.store import RunFolder, write_json
from tests.search.test_sentinels import earlier_run
from tests.search.toy_world import ToyWorld, space

SPACE = space({"env": 6, "tool": 6, "user": 12}, 20)
FIRST, SECOND = Rule((0,), ((0, 1),)), Rule((1,), ((2,),))
PROMISE = Promise(delta=0.05, level=0.05)
ENV = {"env": ["env0", "env1"]}


@dataclass
class TwoRules(ToyWorld):
    """In two of six environments everything fires, elsewhere what offers one tool does."""

    digits: list[np.ndarray] = field(default_factory=list)
    """Every cell asked, batch by batch."""

    async def ask(self, digits_NA: np.ndarray) -> np.ndarray:
        self.digits.append(digits_NA)
        return await super().ask(digits_NA)

    def fires(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (matches(FIRST, codes) | matches(SECOND, codes)) & (rng.random(len(codes)) < 0.9)


def searched(world: ToyWorld, *sentinels: Hypothesis, calls: int = 6000) -> Outcome:
    return asyncio.run(
        search(
            world.screen(8), SPACE, world.ask, calls=calls, promise=PROMISE, seed=0, on_step=lambda *_: None,
            sentinels=sentinels,
        )
    )  # fmt: skip


@cache
def first_night() -> Outcome:
    return searched(TwoRules(SPACE, 0, FIRST))


def test_a_rule_carries_those_outside_of_which_it_was_tested() -> None:
    beside = {each.tested.rule: each.tested.beside for each in first_night().verdicts if each.status == "CONFIRMED"}
    assert beside == {FIRST: (), SECOND: (FIRST,)}


def test_the_finding_of_a_rule_names_those_outside_of_which_it_was_tested_and_so_does_the_promise(
    tmp_path: Path,
) -> None:
    found: Any = outcome_json(
        first_night(), SPACE, promise=PROMISE, seed=0, calls=6000, sentinels=[], screened=1
    )
    write_json(RunFolder(tmp_path).search, found)
    back = read_search(RunFolder(tmp_path), interval_level=0.95)
    assert back is not None
    named = {json.dumps(each.rule): [other["rule"] for other in each.beside] for each in back.tested}
    assert named == {json.dumps(ENV): [], json.dumps({"tool": ["tool2"]}): [ENV]}
    assert "outside of" in back.promise()


def test_a_sentinel_is_asked_outside_of_the_rules_it_was_confirmed_outside_of(tmp_path: Path) -> None:
    earlier = earlier_run(tmp_path / "earlier", ({"tool": ["tool2"]}, "CONFIRMED"), beside=[ENV])
    (sentinel,) = read_sentinels([earlier], SPACE, run=tmp_path / "now")
    assert sentinel.hypothesis == Hypothesis(SECOND, "screen_score", (FIRST,))
    world = TwoRules(SPACE, 1, FIRST)
    outcome = searched(world, sentinel.hypothesis, calls=40)
    assert outcome.sentinels[0].tested.beside == (FIRST,)
    assert not matches(FIRST, SPACE.codes(world.digits[0])).any()
    assert outcome.sentinels[0].tested.inside >= 8


def test_a_sentinel_whose_other_rule_is_gone_says_so(tmp_path: Path) -> None:
    earlier = earlier_run(tmp_path / "earlier", ({"tool": ["tool2"]}, "CONFIRMED"), beside=[{"gone": ["x"]}])
    (sentinel,) = read_sentinels([earlier], SPACE, run=tmp_path / "now")
    assert sentinel.hypothesis is None
    assert sentinel.reason == "the suite has no factor 'gone' any more"
