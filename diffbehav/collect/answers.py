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
    """Ask both models for these samples and score each pair of answers under both as soon as it is back."""
    repeat = replace(sampling, seed=sampling.seed + REPLICATE_SEED)
    pairs, repeated = await asyncio.gather(
        asyncio.gather(*(_pair(prompt, sample, engines, sampling, on_answer) for sample in samples)),
        asyncio.gather(
            *(
                _complete("replicate", engines.trusted, prompt, sample, repeat, on_answer)
                for sample in (samples if replicated else ())
            )
        ),
    )
    rows = {side: [pair.answers[side] for pair in pairs if side in pair.answers] for side in SCORED}
    again = [
        _completion_row(prompt, sample, repeat, answer)
        for sample, answer in zip(samples, repeated, strict=False)
        if answer is not None
    ]
    keys = [(by, of) for by in SCORED for of in SCORED]
    return Answers(
        completions={**rows, "replicate": again},
        scores={key: [pair.scores[key] for pair in pairs if key in pair.scores] for key in keys},
    )


class _Pair(NamedTuple):
    """One sample of both sides."""

    answers: Mapping[str, Row]
    scores: Mapping[tuple[str, str], Row]


async def _pair(
    prompt: Prompt, sample: int, engines: Engines, sampling: Sampling, on_answer: OnAnswer
) -> _Pair:
    """Both answers, then every answer under both models.

    Scoring waits for both, because they are often the same one, and an engine knows the score of what it drew itself.
    """
    sides = dict(zip(SCORED, engines, strict=True))
    drawn = await asyncio.gather(
        *(_complete(side, engine, prompt, sample, sampling, on_answer) for side, engine in sides.items())
    )
    answers = {side: answer for side, answer in zip(SCORED, drawn, strict=True) if answer is not None}
    keys = [(by, of) for by in SCORED for of in answers]
    rows = await asyncio.gather(*(_score(sides[by], prompt, sample, answers[of]) for by, of in keys))
    return _Pair(
        {side: _completion_row(prompt, sample, sampling, answer) for side, answer in answers.items()},
        dict(zip(keys, rows, strict=True)),
    )


async def _complete(
    side: str, engine: Engine, prompt: Prompt, sample: int, sampling: Sampling, on_answer: OnAnswer
) -> Completion | None:
    try:
        answer = await engine.complete(prompt, sample, sampling)
    except NotServed:
        return None
    on_answer(side, len(answer.token_ids))
    return answer


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
