"""One condition: the answers of every side, and every answer scored under both models."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from diffbehav.records import Completion, Prompt, Sampling, Score, ToolCall, request_seed
from diffbehav.serve import Engine, Engines, NotServed

Row = dict[str, Any]
OnAnswer = Callable[[str, int], None]
SCORED = ("candidate", "trusted")
"""The sides whose answers are scored, and the models that score them."""
REPLICATE_SEED = 0x5EED
"""Added to the suite's seed for the replicate, so that it shares no draw with the trusted side."""


class Answers(NamedTuple):
    """Everything collected for one condition, as rows of the parts."""

    completions: Mapping[str, Sequence[Row]]
    """Side -> rows."""
    scores: Mapping[tuple[str, str], Sequence[Row]]
    """(scored by, answered by) -> rows."""


async def collect_condition(
    prompt: Prompt,
    engines: Engines,
    sampling: Sampling,
    *,
    samples: Sequence[int],
    replicated: bool,
    on_answer: OnAnswer,
) -> Answers:
    """Ask both models for these samples, score each answer under both as soon as it is back."""
    jobs = [_side(name, prompt, samples, engines, sampling, on_answer) for name in SCORED]
    repeat = replace(sampling, seed=sampling.seed + REPLICATE_SEED)
    if replicated:
        jobs.append(_side("replicate", prompt, samples, engines, repeat, on_answer))
    results = await asyncio.gather(*jobs)
    return Answers(
        completions={name: rows for name, rows, _ in results},
        scores={key: rows for _, _, scores in results for key, rows in scores.items()},
    )


async def _side(
    name: str, prompt: Prompt, samples: Sequence[int], engines: Engines, sampling: Sampling, on_answer: OnAnswer
) -> tuple[str, list[Row], dict[tuple[str, str], list[Row]]]:
    engine = engines.candidate if name == "candidate" else engines.trusted
    jobs = [_sample(name, engine, prompt, sample, engines, sampling, on_answer) for sample in samples]
    answered = [result for result in await asyncio.gather(*jobs) if result is not None]
    scores = {(by, name): [scored[by] for _, scored in answered] for by in (SCORED if name in SCORED else ())}
    return name, [row for row, _ in answered], scores


async def _sample(
    name: str, engine: Engine, prompt: Prompt, sample: int, engines: Engines, sampling: Sampling, on_answer: OnAnswer
) -> tuple[Row, dict[str, Row]] | None:
    try:
        answer = await engine.complete(prompt, sample, sampling)
    except NotServed:
        return None
    on_answer(name, len(answer.token_ids))
    scored = {}
    if name in SCORED:
        rows = await asyncio.gather(
            _score(engines.candidate, prompt, sample, answer), _score(engines.trusted, prompt, sample, answer)
        )
        scored = dict(zip(SCORED, rows, strict=True))
    return _completion_row(prompt, sample, sampling, answer), scored


async def _score(engine: Engine, prompt: Prompt, sample: int, answer: Completion) -> Row:
    if not answer.token_ids:
        return _score_row(prompt, sample, None, reason="the answer is empty")
    try:
        return _score_row(prompt, sample, await engine.score(prompt, answer.token_ids), reason=None)
    except NotServed as missing:
        return _score_row(prompt, sample, None, reason=str(missing))


def _completion_row(prompt: Prompt, sample: int, sampling: Sampling, answer: Completion) -> Row:
    return {
        "condition_id": prompt.condition_id,
        "sample": sample,
        "seed": request_seed(prompt.condition_id, sample, sampling.seed),
        "text": answer.text,
        "content": answer.content,
        "token_ids": answer.token_ids,
        "finish_reason": answer.finish_reason,
        "parse": answer.parse,
        "calls": calls_json(answer.calls),
    }


def calls_json(calls: Sequence[ToolCall]) -> str:
    """The `calls` column: a JSON array of names and arguments, the arguments as the model wrote them."""
    return json.dumps([{"name": c.name, "arguments": c.arguments} for c in calls], ensure_ascii=False)


def _score_row(prompt: Prompt, sample: int, score: Score | None, *, reason: str | None) -> Row:
    row: Row = {"condition_id": prompt.condition_id, "sample": sample, "reason": reason}
    if score is None:
        return row | {"logprobs": None, "top_ids": None, "top_logprobs": None, "k": 0}
    return row | {
        "logprobs": score.logprobs_T,
        "top_ids": score.top_ids_TK.ravel(),
        "top_logprobs": score.top_logprobs_TK.ravel(),
        "k": score.top_ids_TK.shape[1],
    }
