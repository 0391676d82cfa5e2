"""Adapters of one base, served by one engine: one after the other, and at once."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from diffbehav.errors import InputError
from diffbehav.records import Completion, Prompt, Sampling, Score
from diffbehav.serve import Engine, Engines, NotServed
from diffbehav.serve.series import Series
from tests.serve.conftest import MAX_MODEL_LEN, TOP_K, write_adapter

GREEDY = Sampling(n=1, temperature=0.0, max_tokens=12, seed=0)
Answered = list[tuple[Completion, Score]]


async def answered(engine: Engine, prompts: Sequence[Prompt]) -> Answered:
    answers = await asyncio.gather(*(engine.complete(prompt, 0, GREEDY) for prompt in prompts))
    scores = await asyncio.gather(
        *(engine.score(prompt, answer.token_ids) for prompt, answer in zip(prompts, answers, strict=True))
    )
    return list(zip(answers, scores, strict=True))


async def both(engines: Engines, prompts: Sequence[Prompt]) -> list[Answered]:
    """The two sides at once, so that requests with and without adapter meet in a batch."""
    return list(await asyncio.gather(*(answered(engine, prompts) for engine in engines)))


def check_equal(found: Answered, wanted: Answered) -> None:
    for (answer, score), (other, its) in zip(found, wanted, strict=True):
        assert answer.token_ids == other.token_ids
        np.testing.assert_allclose(score.logprobs_T, its.logprobs_T, atol=1e-5)


@pytest.mark.vllm
def test_one_engine_serves_every_adapter_of_a_series_alone_or_in_one_batch_as_an_engine_of_its_own_would(
    loop: asyncio.Runner, adapted: Engines, prompts: list[Prompt], tiny: Path, adapter: Path, tmp_path: Path
) -> None:
    asked = prompts[:24]
    alone = loop.run(both(adapted, asked))
    others = [tmp_path / "a", tmp_path / "b"]
    for folder, rank in zip(others, (4, 8), strict=True):
        folder.mkdir()
        write_adapter(folder, seed=rank, rank=rank)
    with Series(tiny, [others[0], adapter, others[1]]) as series:
        serving = series.serving

        async def of_all() -> list[Answered]:
            opened = [await serving.engines(tiny, each, tiny, max_model_len=MAX_MODEL_LEN, top_k=TOP_K,
                                            tool_format="hermes") for each in (adapter, *others)]  # fmt: skip
            return list(await asyncio.gather(*(answered(engines.candidate, asked) for engines in opened)))

        async def of(candidate: Path, length: int = MAX_MODEL_LEN) -> list[Answered]:
            engines = await serving.engines(
                tiny, candidate, tiny, max_model_len=length, top_k=TOP_K, tool_format="hermes"
            )
            try:
                return await both(engines, asked)
            finally:
                await engines.close()

        found = {each: serving.run(of(each)) for each in (adapter, *others)}
        for side, wanted in zip(found[adapter], alone, strict=True):
            check_equal(side, wanted)
        drawn = [[answer.token_ids for answer, _ in candidate] for candidate, _ in found.values()]
        assert drawn[0] != drawn[1] != drawn[2] != drawn[0]
        for _, base in found.values():
            check_equal(base, alone[1])
        for mixed, (candidate, _) in zip(serving.run(of_all()), found.values(), strict=True):
            check_equal(mixed, candidate)
        with pytest.raises(NotServed, match="exceed the context of 8 tokens"):
            serving.run(of(adapter, length=8))
        assert series.starts == 1


@pytest.mark.vllm
def test_an_adapter_that_cannot_be_served_does_not_keep_the_others_from_it(
    prompts: list[Prompt], tiny: Path, adapter: Path, tmp_path: Path
) -> None:
    with Series(tiny, [write_adapter(tmp_path, seed=0, rank=513), adapter]) as series:

        async def of(candidate: Path) -> list[Answered]:
            engines = await series.serving.engines(
                tiny, candidate, tiny, max_model_len=MAX_MODEL_LEN, top_k=TOP_K, tool_format="hermes"
            )
            try:
                return await both(engines, prompts[:4])
            finally:
                await engines.close()

        with pytest.raises(InputError, match="rank 513 is above 512"):
            series.serving.run(of(tmp_path))
        candidate, trusted = series.serving.run(of(adapter))
        assert [a.token_ids for a, _ in candidate] != [a.token_ids for a, _ in trusted]
