"""Turns over real engines: what vLLM is told to let one side sleep and wake the other.

On a CPU an engine that sleeps takes no requests, as on a GPU, but keeps its memory.
"""

import asyncio
from dataclasses import fields

import pytest

from diffbehav.records import Prompt, Sampling
from diffbehav.serve import Engines
from diffbehav.serve.turns import Turned, Turns
from diffbehav.suite.models_file import EngineTerms

GREEDY = Sampling(n=1, temperature=0.0, max_tokens=8, seed=0)


async def drawn(engines: Engines, prompts: list[Prompt]) -> list[list[tuple[int, ...]]]:
    """Answers of both sides, asked at once."""
    return [
        [answer.token_ids for answer in answers]
        for answers in await asyncio.gather(
            *(asyncio.gather(*(side.complete(prompt, 0, GREEDY) for prompt in prompts)) for side in engines)
        )
    ]


@pytest.mark.vllm
def test_engines_that_sleep_and_wake_by_turns_give_the_answers_of_engines_that_are_both_awake(
    loop: asyncio.Runner, twins: Engines, prompts: list[Prompt]
) -> None:
    asked = prompts[:24]
    awake = loop.run(drawn(twins, asked))
    models = {"candidate": twins.candidate._model, "trusted": twins.trusted._model}

    async def by_turns() -> list[list[tuple[int, ...]]]:
        for model in models.values():
            await model.sleep()
            assert await model._llm.is_sleeping()
        turns = Turns(models, settle=0.01)
        try:
            found = await drawn(
                Engines(*(Turned(engine, side, turns) for side, engine in zip(models, twins, strict=True))), asked
            )
            assert [await model._llm.is_sleeping() for model in models.values()] == [True, False]
            assert turns.turns == 2
            return found
        finally:
            await models["candidate"].wake()

    assert loop.run(asyncio.wait_for(by_turns(), 120)) == awake
    assert loop.run(drawn(twins, asked)) == awake


@pytest.mark.vllm
def test_every_argument_that_a_models_file_may_set_is_one_of_vllm() -> None:
    from vllm import AsyncEngineArgs

    may = {"device_ids" if name == "devices" else name for name in EngineTerms.model_fields}
    assert may <= {field.name for field in fields(AsyncEngineArgs)}
