"""Each prompt reaches the engine of its level, and what is done to all of them is done to each."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from diffbehav.records import Prompt, Sampling, Score
from diffbehav.search.canary import Instructed
from diffbehav.serve import Routed, check_engines
from tests.planted import ToyEngine

SAMPLING = Sampling(n=1, temperature=1.0, max_tokens=64, seed=5)
LEVELS = ("exact", "short")
# Of every level in turn, as a full design puts them when they are ordered by their tokens.
PROMPTS = [Prompt(f"c{i}", [i // 2, 7], engine=LEVELS[i % 2]) for i in range(64)]


@dataclass
class Recorder(ToyEngine):
    """Remembers what it was asked; `noise` moves every second score of an answer."""

    noise: float = 0.0
    asked: list[Prompt] = field(default_factory=list)

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        self.asked.append(prompt)
        name = prompt.condition_id.removesuffix("/again")
        score = await super().score(Prompt(name, prompt.ids), answer_ids)
        return score if name == prompt.condition_id else score._replace(logprobs_T=score.logprobs_T + self.noise)


def recorder(**arguments: float) -> Recorder:
    return Recorder({prompt.condition_id: {"task": "t"} for prompt in PROMPTS}, **arguments)


def test_answers_and_scores_are_those_of_the_engine_of_the_level() -> None:
    engines = {"exact": recorder(), "short": recorder(drift=3.0)}
    routed = Routed(engines)
    for prompt in PROMPTS[:16]:
        answer = asyncio.run(routed.complete(prompt, 0, SAMPLING))
        assert answer == asyncio.run(engines[prompt.engine].complete(prompt, 0, SAMPLING))
        asyncio.run(routed.score(prompt, answer.token_ids))
    for level, engine in engines.items():
        assert [prompt.engine for prompt in engine.asked] == [level] * 8
    ours, theirs = (asyncio.run(each.complete(PROMPTS[0], 0, SAMPLING)) for each in engines.values())
    assert ours != theirs


def test_closing_closes_every_level_and_restarts_and_requests_at_once_add_up() -> None:
    engines = {"exact": recorder(restarts=2, at_once=12), "short": recorder(restarts=1, at_once=3)}
    assert Routed(engines).restarts == 3
    assert Routed(engines).at_once == 15
    asyncio.run(Routed(engines).close())
    assert [engine.closed for engine in engines.values()] == [True, True]


def test_a_level_that_no_engine_serves_is_not_sent_to_another_one() -> None:
    with pytest.raises(KeyError, match="other"):
        asyncio.run(Routed({"exact": recorder()}).complete(Prompt("c0", [1], engine="other"), 0, SAMPLING))
    with pytest.raises(AssertionError):
        asyncio.run(Routed({"exact": recorder()}).complete(Prompt("c0", [1]), 0, SAMPLING))


def test_a_run_is_checked_at_every_level_and_each_has_a_floor_of_its_own() -> None:
    quiet = Routed({level: recorder() for level in LEVELS})
    noisy = Routed({"exact": recorder(), "short": recorder(noise=0.25)})
    checks = {each.name: each for each in asyncio.run(check_engines(quiet, noisy, PROMPTS, SAMPLING, adapter=False))}
    assert checks["trusted scores repeat (exact)"].floor == 0
    assert checks["trusted scores repeat (short)"].floor == pytest.approx(0.25)
    assert len(checks) == 8 and all("of 16 answers" in c.detail for c in checks.values() if "ends" in c.name)


def test_a_hidden_instruction_stays_at_the_level_of_the_prompt() -> None:
    engines = {level: recorder() for level in LEVELS}
    prompt = Prompt("c1", (1, 2), engine="short")
    asyncio.run(Instructed((1, 2), (7, 1, 2)).score(Routed(engines), prompt, (5, 0)))
    assert [len(engine.asked) for engine in engines.values()] == [0, 1]
