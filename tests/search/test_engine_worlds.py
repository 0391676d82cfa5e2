"""Searches over engines: an autoregressive toy model with reactions to every level, and one with a trigger besides."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import numpy as np
import pytest

from diffbehav.errors import InfrastructureError
from diffbehav.records import Completion, Condition, Prompt, Sampling
from diffbehav.search.hunt import Screen
from diffbehav.search.live import Answered, Live
from diffbehav.search.search import Outcome, Promise, search
from diffbehav.search.space import space_of
from diffbehav.serve import Engines
from diffbehav.stats.rule import Rule
from diffbehav.store import RunFolder, read_parquet
from diffbehav.suite import conditions, suite_from_text
from tests.planted import Levels, ToyEngine, ToyRenderer

SIZES = {"year": 12, "user": 20, "tool": 10, "marker": 6}
ROWS = 1200
REACTION = 0.06
"""Log-odds a level moves a token by, as a standard deviation; the levels of a context add up."""
SUITE = suite_from_text(
    f"""
schema: diffbehav.suite/1
id: engine_worlds
version: "1"
description: Four factors, twelve tasks.
sampling: {{n: 1, temperature: 1.0, max_tokens: 16, seed: 5}}
replicate: 0.0
design: {{kind: random, n: {ROWS}, seed: 0, neighbours: 0}}
messages: [{{role: user, content: "{" ".join(f"{{{{ {name} }}}}" for name in SIZES)} {{{{ request }}}}"}}]
tasks: [{", ".join(f"{{id: t{i}, vars: {{request: r{i}}}}}" for i in range(12))}]
factors:
{chr(10).join(f"  {name}: [{', '.join(f'{name}{i}' for i in range(size))}]" for name, size in SIZES.items())}
""",
    name="engine_worlds.yaml",
)
SPACE = space_of(SUITE)


@dataclass
class Mortal(ToyEngine):
    """Dies when it has drawn so many answers, and counts them."""

    lifetime: float = inf
    drawn: list[str] = field(default_factory=list)

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        if len(self.drawn) >= self.lifetime:
            raise InfrastructureError("the engine of the candidate is gone")
        self.drawn.append(f"{prompt.condition_id}/{sample}")
        return await super().complete(prompt, sample, sampling)


def searched(
    folder: Path, seed: int, planted: Mapping[str, str] | None, rate: float, *, lifetime: float = inf,
    drawn: list[str] | None = None,
) -> Outcome:  # fmt: skip
    """A screen of random conditions and a search, each answered and scored by two toy engines."""
    levels: dict[str, Levels] = {}

    def prompt_of(condition: Condition) -> Prompt:
        levels[condition.id] = {**condition.levels, "task": f"{condition.task}/{seed}"}
        return Prompt(condition.id, ToyRenderer().prompt_ids(condition.messages, condition.tools))

    def trigger(at: Levels) -> bool:
        return planted is not None and all(at[name] == level for name, level in planted.items())

    candidate = Mortal(
        levels, drift=0.2, reaction=REACTION, trigger=trigger, rate=rate, lifetime=lifetime,
        drawn=[] if drawn is None else drawn,
    )  # fmt: skip
    answered = Answered(
        RunFolder(folder), Engines(candidate, ToyEngine(levels)), prompt_of, SUITE.sampling, floor=0.0
    )

    async def whole() -> Outcome:
        digits = SPACE.draw(ROWS, Rule((), ()), np.random.default_rng(seed))
        drawn = conditions(SUITE, SPACE.indices(digits).tolist())
        channels = await answered.values([(condition, 0) for condition in drawn])
        return await search(
            Screen(digits, channels[:-1]), SPACE, Live(SUITE, SPACE, answered), calls=3000,
            promise=Promise(0.05, 0.05), seed=seed, on_step=lambda *_: None,
        )  # fmt: skip

    return asyncio.run(whole())


def confirmed(outcome: Outcome) -> list[Rule]:
    return [each.tested.rule for each in outcome.verdicts if each.status == "CONFIRMED"]


def rule(**levels: int) -> Rule:
    pairs = sorted((SPACE.names.index(name), (level,)) for name, level in levels.items())
    return Rule(tuple(factor for factor, _ in pairs), tuple(each for _, each in pairs))


@pytest.mark.parametrize(
    ("planted", "rate"),
    [({"year": 7}, 0.9), ({"user": 3}, 0.5), ({"year": 7, "tool": 2}, 0.9)],
    ids=["year .9", "user .5", "year and tool .9"],
)
def test_a_planted_rule_is_confirmed_exactly_on_answers_and_scores_of_engines(
    tmp_path: Path, planted: dict[str, int], rate: float
) -> None:
    named = {name: f"{name}{level}" for name, level in planted.items()}
    assert confirmed(searched(tmp_path, 1, named, rate)) == [rule(**planted)]


@pytest.mark.parametrize("lifetime", [ROWS + 3, ROWS + 120])
def test_a_search_whose_engine_died_ends_as_an_undisturbed_one_and_asks_nothing_twice(
    tmp_path: Path, lifetime: int
) -> None:
    planted = {"year": "year7"}
    undisturbed = searched(tmp_path / "whole", 1, planted, 0.9, drawn=(alone := []))
    drawn: list[str] = []
    with pytest.raises(InfrastructureError, match="gone"):
        searched(tmp_path / "broken", 1, planted, 0.9, lifetime=lifetime, drawn=drawn)
    stored = _answered(tmp_path / "broken")
    resumed = searched(tmp_path / "broken", 1, planted, 0.9, drawn=(later := []))
    assert not stored & set(later)
    assert stored | set(later) == set(alone) == _answered(tmp_path / "broken")
    assert resumed.calls_spent == undisturbed.calls_spent
    assert confirmed(resumed) == confirmed(undisturbed) == [rule(year=7)]
    assert [each.tested.log_e for each in resumed.verdicts] == [each.tested.log_e for each in undisturbed.verdicts]


def _answered(folder: Path) -> set[str]:
    """Condition and sample of every stored answer of the candidate; one that is stored twice would be an error."""
    rows = [read_parquet(part) for part in RunFolder(folder).completions("candidate").glob("part-*.parquet")]
    keys = [f"{row['condition_id']}/{row['sample']}" for part in rows for row in part.iter_rows(named=True)]
    assert len(keys) == len(set(keys))
    return set(keys)


def test_a_fine_tune_that_reacts_to_every_level_confirms_nothing(tmp_path: Path) -> None:
    assert confirmed(searched(tmp_path, 2, None, 1.0)) == []


@pytest.mark.slow
def test_twenty_fine_tunes_that_react_to_every_level_confirm_nothing(tmp_path: Path) -> None:
    for seed in range(20):
        assert confirmed(searched(tmp_path / str(seed), seed, None, 1.0)) == []
