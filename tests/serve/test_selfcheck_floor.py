"""What the self-check makes of scores that do not repeat; scripted, because a sound engine's do."""

import asyncio
from collections.abc import Sequence

import pytest

from diffbehav.records import Prompt, Sampling, Score
from diffbehav.serve import check_engines
from tests.planted import ToyEngine

PROMPTS = [Prompt(f"c{i}", [i]) for i in range(20)]
SAMPLING = Sampling(n=1, temperature=1.0, max_tokens=16, seed=1)


class WobblingEngine(ToyEngine):
    """Every score is `wobble` nats lower than the one before."""

    wobble = 0.0
    asked = 0

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        self.asked += 1
        name = prompt.condition_id.partition("/")[0]
        score = await super().score(Prompt(name, prompt.ids), answer_ids)
        return score._replace(logprobs_T=score.logprobs_T - self.wobble * self.asked)


@pytest.mark.parametrize(("wobble", "passed"), [(0.0, True), (0.001, True), (0.1, False)])
def test_scores_that_do_not_repeat_are_measured_and_too_far_apart_they_fail(wobble: float, passed: bool) -> None:
    levels = {prompt.condition_id: {"task": "one"} for prompt in PROMPTS}
    engine = WobblingEngine(levels)
    engine.wobble = wobble
    checks = asyncio.run(check_engines(engine, ToyEngine(levels | again(levels)), PROMPTS, SAMPLING, adapter=False))
    (repeat,) = [check for check in checks if check.name == "candidate scores repeat"]
    assert repeat.passed is passed
    assert (repeat.floor > 0) == (wobble > 0)


def again(levels: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """The names under which the check asks a second time."""
    return {f"{name}/again": value for name, value in levels.items()}
