"""A served model answers and scores as the model itself does, whatever happens to its process."""

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from diffbehav.errors import InfrastructureError, InputError
from diffbehav.intake.safetensors_header import read_header
from diffbehav.records import Completion, Prompt, Sampling, Score
from diffbehav.serve import Engine, Engines, NotServed, open_engine
from diffbehav.serve.served_model import MAX_RESTARTS
from tests.serve.conftest import MAX_MODEL_LEN, TOP_K, write_model

pytestmark = pytest.mark.vllm

SAMPLING = Sampling(n=1, temperature=1.0, max_tokens=24, seed=7)
GREEDY = replace(SAMPLING, temperature=0.0)


def answer_all(loop: asyncio.Runner, engine: Engine, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion]:
    async def ask() -> list[Completion]:
        return await asyncio.gather(*(engine.complete(prompt, 0, sampling) for prompt in prompts))

    return loop.run(ask())


def score_all(
    loop: asyncio.Runner, engine: Engine, prompts: Sequence[Prompt], answers: Sequence[Completion]
) -> list[Score]:
    async def ask() -> list[Score]:
        pairs = zip(prompts, answers, strict=True)
        return await asyncio.gather(*(engine.score(prompt, answer.token_ids) for prompt, answer in pairs))

    return loop.run(ask())


def renamed(prompts: Sequence[Prompt], suffix: str) -> list[Prompt]:
    """The same prompts under names of which no engine remembers a score."""
    return [replace(prompt, condition_id=f"{prompt.condition_id}/{suffix}") for prompt in prompts]


def engine_processes() -> list[psutil.Process]:
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    lines = {child: " ".join(child.cmdline()) for child in alive}
    return [child for child, line in lines.items() if "resource_tracker" not in line and "api_server" not in line]


@pytest.fixture(scope="module")
def answers(loop: asyncio.Runner, twins: Engines, prompts: list[Prompt]) -> list[Completion]:
    return answer_all(loop, twins.trusted, prompts, SAMPLING)


def test_a_model_against_itself_gives_equal_answers_and_equal_scores(
    loop: asyncio.Runner, twins: Engines, prompts: list[Prompt], answers: list[Completion]
) -> None:
    assert answer_all(loop, twins.candidate, prompts, SAMPLING) == answers
    ours, theirs = (score_all(loop, side, prompts, answers) for side in twins)
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_engine_wants_one_and_a_half_of_its_batches_at_a_time(twins: Engines) -> None:
    batch = twins.candidate._model._llm.vllm_config.scheduler_config.max_num_seqs
    assert twins.candidate.at_once == 1.5 * batch == 192
    assert [twins.conditions_at_once(samples) for samples in (1, 5, 1000)] == [192, 39, 1]


def test_an_answer_has_the_same_score_drawn_and_given(
    loop: asyncio.Runner, twins: Engines, prompts: list[Prompt], answers: list[Completion]
) -> None:
    drawn = score_all(loop, twins.trusted, prompts, answers)
    given = score_all(loop, twins.trusted, renamed(prompts, "given"), answers)
    for one, other in zip(drawn, given, strict=True):
        np.testing.assert_allclose(one.logprobs_T, other.logprobs_T, rtol=0, atol=1e-5)
        np.testing.assert_allclose(one.top_logprobs_TK, other.top_logprobs_TK, rtol=0, atol=1e-5)


def test_scores_agree_with_a_float32_forward_pass_of_transformers(
    loop: asyncio.Runner, twins: Engines, prompts: list[Prompt], answers: list[Completion], tiny: Path
) -> None:
    scores = score_all(loop, twins.trusted, renamed(prompts, "given"), answers)
    assert_agree_with_transformers(tiny, prompts, answers, scores)


def test_an_adapter_scores_as_the_merged_model_does(
    loop: asyncio.Runner,
    adapted: Engines,
    prompts: list[Prompt],
    answers: list[Completion],
    adapter: Path,
    tmp_path: Path,
) -> None:
    merged = write_model(tmp_path, seed=0, merged=adapter)
    assert_agree_with_transformers(merged, prompts, answers, score_all(loop, adapted.candidate, prompts, answers))


def test_the_base_beside_an_adapter_is_the_base_alone(
    loop: asyncio.Runner, twins: Engines, adapted: Engines, prompts: list[Prompt], answers: list[Completion]
) -> None:
    async def ask_both() -> list[Completion]:
        jobs = [side.complete(prompt, 0, SAMPLING) for prompt in prompts for side in adapted]
        return await asyncio.gather(*jobs)

    mixed = loop.run(ask_both())
    assert mixed[1::2] == answers
    assert mixed[0::2] == answer_all(loop, adapted.candidate, prompts, SAMPLING)
    assert mixed[0::2] != answers
    alone = score_all(loop, twins.trusted, prompts, answers)
    beside = score_all(loop, adapted.trusted, prompts, answers)
    assert max(np.abs(a.logprobs_T - b.logprobs_T).max() for a, b in zip(alone, beside, strict=True)) < 1e-5


def test_temperature_zero_always_takes_the_most_probable_token(
    loop: asyncio.Runner, twins: Engines, prompts: list[Prompt]
) -> None:
    greedy = answer_all(loop, twins.trusted, prompts[:40], GREEDY)
    for answer, score in zip(greedy, score_all(loop, twins.trusted, prompts[:40], greedy), strict=True):
        np.testing.assert_array_equal(score.top_ids_TK[:, 0], answer.token_ids)
    assert greedy == answer_all(loop, twins.trusted, prompts[:40], replace(GREEDY, seed=8))


def test_another_seed_draws_other_answers(
    loop: asyncio.Runner, twins: Engines, prompts: list[Prompt], answers: list[Completion]
) -> None:
    other = answer_all(loop, twins.trusted, prompts, replace(SAMPLING, seed=8))
    assert sum(a == b for a, b in zip(other, answers, strict=True)) < len(prompts) / 10


def test_an_ended_turn_keeps_its_last_token_and_drops_it_from_the_text(answers: list[Completion]) -> None:
    ended = [answer for answer in answers if answer.finish_reason == "stop"]
    assert ended
    assert all(answer.token_ids[-1] == 0 and not answer.text.endswith("<|end|>") for answer in ended)
    cut = [answer for answer in answers if answer.finish_reason == "length"]
    assert all(len(answer.token_ids) == SAMPLING.max_tokens for answer in cut)


def test_one_answer_asked_for_by_both_sides_is_scored_once(
    loop: asyncio.Runner, twins: Engines, prompts: list[Prompt]
) -> None:
    async def ask_twice() -> list[Score]:
        jobs = [twins.trusted.score(renamed(prompts[:1], "twice")[0], [70, 71, 0]) for _ in range(2)]
        return await asyncio.gather(*jobs)

    first, second = loop.run(ask_twice())
    assert first is second
    assert first.top_ids_TK.shape == first.top_logprobs_TK.shape == (3, TOP_K)


def test_a_prompt_that_does_not_fit_is_refused_with_its_length(loop: asyncio.Runner, twins: Engines) -> None:
    long = Prompt("long", [70] * (MAX_MODEL_LEN - SAMPLING.max_tokens + 1))
    with pytest.raises(NotServed, match=f"{MAX_MODEL_LEN - SAMPLING.max_tokens + 1} prompt tokens"):
        loop.run(twins.trusted.complete(long, 0, SAMPLING))
    with pytest.raises(NotServed, match="condition long"):
        loop.run(twins.trusted.score(long, [70] * SAMPLING.max_tokens))


def test_weights_and_configuration_that_the_digests_pass_over_are_not_served(
    loop: asyncio.Runner, tmp_path: Path, prompts: list[Prompt], answers: list[Completion]
) -> None:
    folder, other = tmp_path / "model", tmp_path / "other"
    for path, seed in ((folder, 0), (other, 9)):
        path.mkdir()
        write_model(path, seed=seed)
    (other / "model.safetensors").rename(folder / "consolidated.safetensors")
    (folder / "params.json").write_text('{"dim": 1}')
    (folder / "tekken.json").write_text("{}")
    names = dict.fromkeys(read_header(folder / "model.safetensors"), "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    engine = loop.run(open_engine(folder, None, max_model_len=MAX_MODEL_LEN, top_k=TOP_K, tool_format="hermes"))
    try:
        assert answer_all(loop, engine, prompts[:40], SAMPLING) == answers[:40]
    finally:
        loop.run(engine.close())


def test_an_interrupt_of_the_process_group_leaves_the_engines_alive(
    loop: asyncio.Runner, twins: Engines, prompts: list[Prompt], answers: list[Completion]
) -> None:
    assert len(engine_processes()) >= 2
    for process in engine_processes():
        process.send_signal(signal.SIGINT)
    assert answer_all(loop, twins.trusted, prompts, SAMPLING) == answers
    assert twins.trusted.restarts == twins.candidate.restarts == 0


def test_a_killed_engine_is_started_again_and_every_request_completes(
    loop: asyncio.Runner, tiny: Path, prompts: list[Prompt], answers: list[Completion]
) -> None:
    async def scenario() -> tuple[list[Completion], list[Score], Engine]:
        before = {process.pid for process in engine_processes()}
        engine = await open_engine(tiny, None, max_model_len=MAX_MODEL_LEN, top_k=TOP_K, tool_format="hermes")
        (process,) = [process for process in engine_processes() if process.pid not in before]
        pairs = zip(prompts, answers, strict=True)
        scoring = [asyncio.ensure_future(engine.score(prompt, answer.token_ids)) for prompt, answer in pairs]
        asking = [asyncio.ensure_future(engine.complete(prompt, 0, SAMPLING)) for prompt in prompts]
        await asyncio.wait(asking + scoring, return_when=asyncio.FIRST_COMPLETED)
        os.kill(process.pid, signal.SIGKILL)
        return await asyncio.gather(*asking), await asyncio.gather(*scoring), engine

    completed, scores, engine = loop.run(scenario())
    assert engine.restarts == 1
    assert completed == answers
    assert len(scores) == len(prompts)
    assert_gives_up_when_it_keeps_dying(loop, engine, prompts)


def assert_gives_up_when_it_keeps_dying(loop: asyncio.Runner, engine: Engine, prompts: list[Prompt]) -> None:
    engine._model.restarts = MAX_RESTARTS
    pids = {process.pid for process in engine_processes()}
    loop.run(engine.complete(prompts[0], 0, SAMPLING))

    async def kill_and_ask() -> None:
        newest = max(engine_processes(), key=lambda process: process.create_time())
        assert newest.pid in pids
        newest.kill()
        await engine.complete(prompts[0], 0, SAMPLING)

    with pytest.raises(InfrastructureError, match="died 4 times"):
        loop.run(kill_and_ask())
    loop.run(engine.close())
    loop.run(engine.close())


def test_a_model_that_cannot_be_served_says_why(loop: asyncio.Runner, tmp_path: Path) -> None:
    folder = write_model(tmp_path, seed=0)
    config = folder / "config.json"
    options = {"max_model_len": MAX_MODEL_LEN, "top_k": TOP_K, "tool_format": "hermes"}
    text = config.read_text()
    config.write_text(text.replace("Qwen3ForCausalLM", "NoSuchForCausalLM").replace('"qwen3"', '"nosuch"'))
    with pytest.raises(InputError, match="cannot serve this model"):
        loop.run(open_engine(folder, None, **options))
    config.write_text(text)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InfrastructureError, match="did not start: .*Error"):
        loop.run(open_engine(folder, None, **options))


def assert_agree_with_transformers(
    folder: Path, prompts: Sequence[Prompt], answers: Sequence[Completion], scores: Sequence[Score]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    largest = 0.0
    for prompt, answer, score in zip(prompts, answers, scores, strict=True):
        ids = torch.tensor([[*prompt.ids, *answer.token_ids]])
        with torch.no_grad():
            logprobs_TV = model(ids).logits[0, len(prompt.ids) - 1 : -1].log_softmax(-1).numpy()
        positions = np.arange(len(answer.token_ids))
        best_TK = -np.sort(-logprobs_TV, axis=1)[:, :TOP_K]
        for ours, theirs in (
            (score.logprobs_T, logprobs_TV[positions, list(answer.token_ids)]),
            (
                score.top_logprobs_TK,
                np.take_along_axis(logprobs_TV, score.top_ids_TK.astype(np.int64), axis=1),
            ),
            (score.top_logprobs_TK, best_TK),
        ):
            largest = max(largest, float(np.abs(ours - theirs).max()))
    assert largest < 1e-3


def test_an_engine_starts_in_a_process_that_has_imported_flask(loop: asyncio.Runner, tiny: Path) -> None:
    """Dash brings it, and vLLM looks at all that a forked engine inherits."""
    import flask  # noqa: F401

    engine = loop.run(open_engine(tiny, None, max_model_len=MAX_MODEL_LEN, top_k=TOP_K, tool_format="hermes"))
    try:
        answer = loop.run(engine.complete(Prompt("c", [1, 2, 3]), 0, GREEDY))
        assert answer.token_ids
    finally:
        loop.run(engine.close())
