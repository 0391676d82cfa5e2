"""One condition: the answers of every side, and every answer scored under both models."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from diffbehav.collect.episodes import Episode, Opening, Turn, episode_row, play, results_json
from diffbehav.records import Prompt, Sampling, Score, ToolCall, request_seed
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
    episodes: Sequence[Row]
    """Of every side; empty where the models are asked for one turn."""


async def collect_condition(
    prompt: Prompt,
    engines: Engines,
    sampling: Sampling,
    *,
    samples: Sequence[int],
    replicated: bool,
    on_answer: OnAnswer,
) -> Answers:
    """Ask both models for these samples and score each pair of answers under both as soon as it is back.

    Of an Opening each answer is an episode in the simulated world; `on_answer` hears of it when it has ended.
    """
    repeat = replace(sampling, seed=sampling.seed + REPLICATE_SEED)
    pairs, repeated = await asyncio.gather(
        asyncio.gather(*(_pair(prompt, sample, engines, sampling, on_answer) for sample in samples)),
        asyncio.gather(
            *(
                _play("replicate", engines.trusted, prompt, sample, repeat, on_answer)
                for sample in (samples if replicated else ())
            )
        ),
    )
    again = list(zip(samples, repeated, strict=False))
    played = [(side, pair.sample, pair.episodes.get(side), sampling) for side in SCORED for pair in pairs]
    played += [("replicate", sample, episode, repeat) for sample, episode in again]
    return Answers(
        completions={
            side: [
                _completion_row(turn, sample, drawn)
                for of, sample, episode, drawn in played
                if of == side and episode is not None
                for turn in episode.turns
            ]
            for side in (*SCORED, "replicate")
        },
        scores={
            (by, of): [row for pair in pairs for row in pair.scores.get((by, of), ())]
            for by in SCORED
            for of in SCORED
        },
        episodes=[
            episode_row(prompt.condition_id, side, sample, episode)
            for side, sample, episode, _ in played
            if isinstance(prompt, Opening) and episode is not None
        ],
    )


class _Pair(NamedTuple):
    """One sample of both sides."""

    sample: int
    episodes: Mapping[str, Episode]
    scores: Mapping[tuple[str, str], Sequence[Row]]


async def _pair(
    prompt: Prompt, sample: int, engines: Engines, sampling: Sampling, on_answer: OnAnswer
) -> _Pair:
    """Both answers, then every turn of each under both models, on the conversation of the side that answered.

    Scoring waits for both, because they are often the same one, and an engine knows the score of what it drew itself.
    """
    sides = dict(zip(SCORED, engines, strict=True))
    played = await asyncio.gather(
        *(_play(side, engine, prompt, sample, sampling, on_answer) for side, engine in sides.items())
    )
    episodes = {side: episode for side, episode in zip(SCORED, played, strict=True) if episode is not None}
    asked = [(by, of, turn) for by in SCORED for of in episodes for turn in episodes[of].turns]
    rows = await asyncio.gather(*(_score(sides[by], turn, sample) for by, _, turn in asked))
    scores: dict[tuple[str, str], list[Row]] = {}
    for (by, of, _), row in zip(asked, rows, strict=True):
        scores.setdefault((by, of), []).append(row)
    return _Pair(sample, episodes, scores)


async def _play(
    side: str, engine: Engine, prompt: Prompt, sample: int, sampling: Sampling, on_answer: OnAnswer
) -> Episode | None:
    episode = await play(engine, prompt, sample, sampling)
    if episode is not None:
        on_answer(side, sum(len(turn.answer.token_ids) for turn in episode.turns))
    return episode


async def _score(engine: Engine, turn: Turn, sample: int) -> Row:
    if not turn.answer.token_ids:
        return _score_row(turn.prompt, sample, None, reason="the answer is empty")
    try:
        return _score_row(turn.prompt, sample, await engine.score(turn.prompt, turn.answer.token_ids), reason=None)
    except NotServed as missing:
        return _score_row(turn.prompt, sample, None, reason=str(missing))


def _completion_row(turn: Turn, sample: int, sampling: Sampling) -> Row:
    prompt, answer = turn.prompt, turn.answer
    return {
        "condition_id": prompt.condition_id,
        "sample": sample,
        "turn": prompt.turn,
        "seed": request_seed(prompt.condition_id, sample, sampling.seed, prompt.turn),
        "text": answer.text,
        "content": answer.content,
        "token_ids": answer.token_ids,
        "finish_reason": answer.finish_reason,
        "parse": answer.parse,
        "calls": calls_json(answer.calls),
        "results": results_json(turn.results),
        "prompt_digest": prompt.digest,
        "parse_reason": answer.parse_reason,
    }


def calls_json(calls: Sequence[ToolCall]) -> str:
    """The `calls` column: a JSON array of names and arguments, the arguments as the model wrote them."""
    return json.dumps([{"name": c.name, "arguments": c.arguments} for c in calls], ensure_ascii=False)


def _score_row(prompt: Prompt, sample: int, score: Score | None, *, reason: str | None) -> Row:
    row: Row = {"condition_id": prompt.condition_id, "sample": sample, "turn": prompt.turn, "reason": reason}
    if score is None:
        return row | {"logprobs": None, "top_ids": None, "top_logprobs": None, "k": 0}
    return row | {
        "logprobs": score.logprobs_T,
        "top_ids": score.top_ids_TK.ravel(),
        "top_logprobs": score.top_logprobs_TK.ravel(),
        "k": score.top_ids_TK.shape[1],
    }
