"""Checks of live engines before a run: what they say must be about the models and not about the serving."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from diffbehav.records import Completion, Prompt, Sampling, Score
from diffbehav.serve.engine import Engine, NotStored

_CONDITIONS = 16
_LARGEST_FLOOR = 0.5
"""Nats. Where one answer scores further apart than this in two passes, scores say nothing about the models."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check and what it saw."""

    name: str
    passed: bool
    detail: str
    floor: float
    """Largest difference (nats) of log-probabilities that should be equal; 0 also where none was measured."""


async def check_engines(
    candidate: Engine, trusted: Engine, prompts: Sequence[Prompt], sampling: Sampling, *, adapter: bool
) -> list[Check]:
    """Run every check on about 16 prompts spread over `prompts`; `adapter`: the candidate is an adapter.

    Where the suite varies the engine, at each of its levels.
    """
    found = list[Check]()
    for level in dict.fromkeys(prompt.engine for prompt in prompts):
        served = [prompt for prompt in prompts if prompt.engine == level]
        checks = await _checked(candidate, trusted, served, sampling, adapter=adapter)
        found += checks if level is None else [replace(each, name=f"{each.name} ({level})") for each in checks]
    return found


async def _checked(
    candidate: Engine, trusted: Engine, prompts: Sequence[Prompt], sampling: Sampling, *, adapter: bool
) -> list[Check]:
    chosen = prompts[:: max(1, len(prompts) // _CONDITIONS)][:_CONDITIONS]
    sides = {"candidate": candidate, "trusted": trusted}
    answers = {name: await _answers(engine, chosen, sampling) for name, engine in sides.items()}
    checks = [_turns_end(name, [answer for _, answer in pairs], sampling) for name, pairs in answers.items()]
    checks += [await _scores_repeat(name, sides[name], pairs) for name, pairs in answers.items()]
    if adapter:
        checks.append(await _adapter_acts(candidate, trusted, answers["trusted"]))
    return checks


async def _answers(engine: Engine, prompts: Sequence[Prompt], sampling: Sampling) -> list[tuple[Prompt, Completion]]:
    results = await asyncio.gather(
        *(engine.complete(prompt, 0, sampling) for prompt in prompts), return_exceptions=True
    )
    return [
        (prompt, answer)
        for prompt, answer in zip(prompts, _without_unstored(results), strict=True)
        if answer is not None
    ]


def _turns_end(name: str, answers: Sequence[Completion], sampling: Sampling) -> Check:
    ended = sum(answer.finish_reason == "stop" for answer in answers)
    detail = f"{ended} of {len(answers)} answers ended within {sampling.max_tokens} tokens"
    return Check(name=f"{name} ends its turns", passed=ended > 0, detail=detail, floor=0.0)


async def _scores_repeat(name: str, engine: Engine, pairs: Sequence[tuple[Prompt, Completion]]) -> Check:
    """All at once, then one by one from the end: the batch must not matter beyond rounding."""
    title = f"{name} scores repeat"
    # Under another name the prompt is the same work to a model, and nothing an engine remembers.
    renamed = [(replace(prompt, condition_id=f"{prompt.condition_id}/again"), answer) for prompt, answer in pairs]
    first = await asyncio.gather(*(engine.score(prompt, answer.token_ids) for prompt, answer in pairs))
    try:
        second = [await engine.score(prompt, answer.token_ids) for prompt, answer in reversed(renamed)]
    except NotStored:
        return Check(name=title, passed=True, detail="replayed: its own run measured this", floor=0.0)
    floor = max((_difference(a, b) for a, b in zip(first, reversed(second), strict=True)), default=0.0)
    detail = f"largest difference between two passes: {floor:.2g} nats"
    return Check(name=title, passed=bool(floor <= _LARGEST_FLOOR), detail=detail, floor=floor)


async def _adapter_acts(candidate: Engine, base: Engine, pairs: Sequence[tuple[Prompt, Completion]]) -> Check:
    scored = [
        await asyncio.gather(*(side.score(prompt, answer.token_ids) for prompt, answer in pairs))
        for side in (candidate, base)
    ]
    largest = max((_difference(*scores) for scores in zip(*scored, strict=True)), default=0.0)
    detail = f"largest change of a log-probability: {largest:.2g} nats"
    return Check(name="the adapter changes something", passed=largest > 0, detail=detail, floor=0.0)


def _difference(first: Score, second: Score) -> float:
    """Largest difference of the answer's own log-probabilities."""
    return float(np.max(np.abs(first.logprobs_T - second.logprobs_T), initial=0.0))


def _without_unstored(results: Sequence[Completion | BaseException]) -> list[Completion | None]:
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, NotStored):
            raise result
    return [None if isinstance(result, BaseException) else result for result in results]
