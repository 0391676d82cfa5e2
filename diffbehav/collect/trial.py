"""A short trial with both models served: tokens and seconds per condition, for the plan of a run."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy import stats

from diffbehav.collect.answers import Answers, collect_condition
from diffbehav.collect.blocks import write_block
from diffbehav.collect.models import context_of, read_models
from diffbehav.collect.prompts import Planned, plan
from diffbehav.collect.run import OnStage, Request, checked, open_sides
from diffbehav.errors import InputError
from diffbehav.records import SIDES
from diffbehav.serve import Engines, Renderer
from diffbehav.store import RunFolder
from diffbehav.suite import Suite, conditions, load_suite

LEVEL = 0.95
PROMPTS = 2_000
"""Prompts that are rendered to count their tokens."""
LEAST = 16


@dataclass(frozen=True, slots=True)
class Round:
    """Conditions that were asked together."""

    conditions: int
    seconds: float


def try_out(
    request: Request, cells: np.ndarray, *, calibrate: int, search_calls: int, on_stage: OnStage
) -> dict[str, Any]:
    """Serve both models, ask about `calibrate` of the conditions at `cells`, and say what all of them would take."""
    return asyncio.run(_try_out(request, cells, calibrate, search_calls, on_stage))


async def _try_out(
    request: Request, cells: np.ndarray, calibrate: int, search_calls: int, on_stage: OnStage
) -> dict[str, Any]:
    suite = load_suite(request.suite)
    models = read_models(request)
    renderer = Renderer((models.trusted or models.candidate).path)
    prompt_tokens = _prompt_tokens(suite, renderer, cells)
    with TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        planned = plan(suite, renderer, run.conditions, limit=calibrate, context=context_of(models))
        if len(planned.prompts) < LEAST:
            few = f"{len(planned.prompts)} conditions are too few to measure with"
            raise InputError(f"{suite.name}: {few}; the design must ask {LEAST} at least")
        on_stage(f"starting the engines for a trial of {len(planned.prompts):,} conditions")
        started = time.monotonic()
        engines = await open_sides(request, models, planned, suite)
        try:
            await checked(engines, planned, suite, models)
            ready = time.monotonic() - started
            rounds, answers = await _rounds(planned, engines, suite, run)
        finally:
            await engines.close()
        planned_bytes = run.conditions.stat().st_size
        parts = sum(path.stat().st_size for path in run.path.rglob("part-*.parquet"))
    per_condition = planned_bytes / len(planned.prompts) + parts / len(answers)
    return trial_json(
        rounds, answers, prompt_tokens=prompt_tokens, bytes_per_condition=per_condition, start_seconds=ready,
        conditions=len(cells), search_calls=search_calls, suite=suite,
    )  # fmt: skip


async def _rounds(
    planned: Planned, engines: Engines, suite: Suite, run: RunFolder
) -> tuple[list[Round], list[Answers]]:
    """Two small and two large rounds in turn, each of conditions asked together and not asked before."""
    rows = np.random.default_rng(suite.sampling.seed).permutation(len(planned.prompts))
    small = len(rows) // 8
    large = len(rows) // 2 - small
    rounds, answers, at = list[Round](), list[Answers](), 0
    for size in (small, large, small, large):
        started = time.monotonic()
        asked = await asyncio.gather(*(_ask(planned, int(row), engines, suite) for row in rows[at : at + size]))
        rounds.append(Round(size, time.monotonic() - started))
        answers += asked
        at += size
    write_block(run, 0, answers)
    return rounds, answers


async def _ask(planned: Planned, row: int, engines: Engines, suite: Suite) -> Answers:
    return await collect_condition(
        planned.prompt(row), engines, suite.sampling, samples=range(suite.sampling.n),
        replicated=bool(planned.replicated[row]), on_answer=lambda *_: None,
    )  # fmt: skip


def _prompt_tokens(suite: Suite, renderer: Renderer, cells: np.ndarray) -> np.ndarray:
    """int64: tokens of the first prompt of the first PROMPTS conditions, which were drawn in random order."""
    drawn = conditions(suite, cells[:PROMPTS].tolist())
    return np.array([len(renderer.prompt_ids(each.messages, each.tools)) for each in drawn])


def trial_json(
    rounds: Sequence[Round], answers: Sequence[Answers], *, prompt_tokens: np.ndarray, bytes_per_condition: float,
    start_seconds: float, conditions: int, search_calls: int, suite: Suite,
) -> dict[str, Any]:  # fmt: skip
    """What was measured and what it comes to for all `conditions`. `low` and `high` are the ends of an interval.

    A search asks a handful of conditions at a time, as the small rounds did, and often ends before its budget does.
    """
    seconds = seconds_per_condition(rounds)
    slowest = max(each.seconds / each.conditions for each in rounds)
    answered = {side: _answer_tokens(answers, side) for side in SIDES}
    asked = {"candidate": conditions, "trusted": conditions, "replicate": round(suite.replicate * conditions)}
    exact = len(prompt_tokens) == conditions
    return {
        "calibrated": len(answers),
        "rounds": [{"conditions": each.conditions, "seconds": each.seconds} for each in rounds],
        "start_seconds": start_seconds,
        "prompt_tokens": _mean(prompt_tokens, exact=exact) | {"counted": len(prompt_tokens)},
        "answer_tokens": {side: _mean(tokens, exact=False) for side, tokens in answered.items()},
        "drawing_prompt_tokens": _scaled(_mean(prompt_tokens, exact=exact), suite.sampling.n * sum(asked.values())),
        "drawing_answer_tokens": {
            side: _scaled(_mean(tokens, exact=False), asked[side]) for side, tokens in answered.items()
        },
        "seconds_per_condition": seconds,
        "collect_seconds": {end: start_seconds + conditions * seconds[end] for end in ("low", "high")},
        "search_seconds": {"high": start_seconds + search_calls * slowest},
        "parts_bytes": round(bytes_per_condition * conditions),
    }


def seconds_per_condition(rounds: Sequence[Round]) -> dict[str, float]:
    """Ends of what one more condition takes when many are asked together.

    High: the slowest large round, as if larger ones gained nothing. Low: what the large rounds took longer than the
    small ones, per condition more, which leaves out all that does not grow with the number. A run asks more at a time
    than a trial does, so its rate lies between the two.
    """
    most = max(each.conditions for each in rounds)
    large = [each for each in rounds if each.conditions == most]
    small = [each for each in rounds if each.conditions < most]
    high = max(each.seconds for each in large) / most
    if not small:
        return {"low": 0.0, "high": high}
    gain = float(np.mean([each.seconds for each in large]) - np.mean([each.seconds for each in small]))
    low = gain / (most - small[0].conditions)
    return {"low": min(max(low, 0.0), high), "high": high}


def _answer_tokens(answers: Sequence[Answers], side: str) -> np.ndarray:
    """int64: tokens per condition that was asked, all samples and turns together."""
    asked = [each.completions[side] for each in answers if each.completions[side]]
    return np.array([sum(len(row["token_ids"]) for row in rows) for rows in asked], dtype=np.int64)


def _mean(values: np.ndarray, *, exact: bool) -> dict[str, float | None]:
    """Mean and the ends of its 95 % t-interval; None, all, without values, and no interval with one."""
    if not len(values):
        return {"mean": None, "low": None, "high": None}
    mean = float(values.mean())
    if exact:
        return {"mean": mean, "low": mean, "high": mean}
    if len(values) == 1:
        return {"mean": mean, "low": None, "high": None}
    half = float(stats.t.ppf(0.5 + LEVEL / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return {"mean": mean, "low": max(0.0, mean - half), "high": mean + half}


def _scaled(mean: dict[str, float | None], count: int) -> dict[str, int | None]:
    return {name: None if value is None else round(value * count) for name, value in mean.items()}
