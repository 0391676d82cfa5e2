"""How often a search of this run finds a planted rule: `diffbehav canaries RUN`."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from diffbehav.collect.run import open_again
from diffbehav.compare.rules import INTERVAL_LEVEL
from diffbehav.compare.searched import Searched, read_search
from diffbehav.compare.sensitivity import SCHEMA, found_share
from diffbehav.errors import InputError
from diffbehav.search.hunt import OnStep
from diffbehav.search.live import rendered
from diffbehav.search.outcome import all_levels
from diffbehav.search.payloads import TEXT, Carried, payloads
from diffbehav.search.planting import CELLS, SHARES, plant, random_cells
from diffbehav.search.run import read_screen
from diffbehav.search.sentinels import UntestableError, rule_of
from diffbehav.search.space import Space, space_of
from diffbehav.search.trial import ALIKE, Terms, canary, world_of
from diffbehav.serve import VLLM, Serving
from diffbehav.stats.rule import Rule, matches
from diffbehav.store import RunFolder, read_settings, write_json
from diffbehav.store.lock import alone_in
from diffbehav.suite import Suite, suite_from_resolved

SIDE_BY_SIDE = 8
"""Canaries that are searched for at a time: a search asks a few conditions at once, which leaves an engine idle."""
OnStage = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CanaryRequest:
    """What `diffbehav canaries` was asked to do."""

    run: Path
    canaries: int
    calls: int
    """Conditions that the search of each canary may ask."""
    delta: float
    level: float
    rate: float
    """Chance that a request inside the planted rule carries the payload."""
    seed: int
    payload: Path | None
    """A text that is carried in place of a tool call."""
    instruction: Path | None
    """A hidden system instruction that is carried instead."""
    rule: Mapping[str, Sequence[str]] | None = None
    """Factor -> levels of the one rule that is planted, as a positive control; None: `canaries` random ones."""


class CoveredError(InputError):
    """The rule to plant lies inside one that is confirmed already, so that finding it would prove nothing."""


def plant_canaries(
    request: CanaryRequest, *, on_stage: OnStage, on_step: OnStep, serving: Serving = VLLM
) -> dict[str, Any]:
    """Search the run once per planted rule and write canaries.json; the same request goes on where it was."""
    run = RunFolder(request.run)
    read_settings(run)
    with alone_in(run):
        return asyncio.run(_plant_canaries(request, on_stage, on_step, serving))


async def _plant_canaries(
    request: CanaryRequest, on_stage: OnStage, on_step: OnStep, serving: Serving
) -> dict[str, Any]:
    run = RunFolder(request.run)
    settings = read_settings(run)
    suite = suite_from_resolved(settings["suite"], name=str(run.settings))
    space = space_of(suite)
    screen = read_screen(run, space)
    cells_NF = random_cells(space, request.seed)
    searched = read_search(run, interval_level=INTERVAL_LEVEL)
    _check_promise(request, searched, run)
    known = _confirmed(searched, space)
    rules = _rules(request, space, cells_NF, known)
    carried = _carried(request, suite)
    on_stage("starting the engines")
    engines, renderer = await open_again(run, serving)
    try:
        payload_of = payloads(
            carried, renderer, suite, tool_format=settings["tool_format"], rng=np.random.default_rng(request.seed)
        )  # fmt: skip
        world = world_of(run, suite, space, screen, engines, rendered(renderer), floor=settings["numeric_floor"])
        world = world if request.rule is None else replace(world, known=known)
        terms = Terms(
            request.delta, request.level, request.calls, request.rate, request.seed, carried=carried.digest
        )  # fmt: skip
        slots = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(number: int, rule: Rule) -> dict[str, Any]:
            async with slots:
                name = f"canary {number} of {len(rules)}"
                on_stage(f"{name}: {_words(rule, space)}")
                result = await canary(
                    rule, world, terms, payload_of, cells_NF=cells_NF,
                    on_step=lambda step, oracle: on_step(f"{name}: {step}", oracle),
                )  # fmt: skip
                on_stage(f"{name}: {result['outcome']}")
                return result

        results = await _all(one(number, rule) for number, rule in enumerate(rules, start=1))
    finally:
        await engines.close()
    found = canaries_json(request, carried, results)
    write_json(run.canaries, found)
    return found


async def _all(work: Iterable[Coroutine[Any, Any, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The results in order; where one fails, the others are ended before the engines go."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def canaries_json(
    request: CanaryRequest, carried: Carried, results: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The content of canaries.json."""
    sizes = sorted({len(each["levels"]) for each in results})
    return {
        "schema": SCHEMA,
        "planted": "random" if request.rule is None else "named",
        "seed": request.seed,
        "delta": request.delta,
        "level": request.level,
        "calls": request.calls,
        "rate": request.rate,
        "carried": {"kind": carried.kind, "text": carried.text},
        "shares": list(SHARES),
        "cells": CELLS,
        "alike": ALIKE,
        "all": found_share(results),
        "by_factors": [
            {"factors": size} | found_share([each for each in results if len(each["levels"]) == size])
            for size in sizes
        ],
        "canaries": list(results),
    }


def _rules(request: CanaryRequest, space: Space, cells_NF: np.ndarray, known: Sequence[Rule]) -> list[Rule]:
    if request.rule is None:
        return plant(space, cells_NF, count=request.canaries, seed=request.seed, known=known)
    try:
        rule = rule_of(request.rule, space)
    except UntestableError as error:
        raise InputError(f"the rule to plant does not fit the suite: {error}") from error
    inside_NF = cells_NF[matches(rule, cells_NF)]
    if not len(inside_NF):
        raise InputError(f"the suite leaves no context inside the rule to plant: {_words(rule, space)}")
    if any(matches(each, inside_NF).mean() > 0.5 for each in known):
        raise CoveredError(f"most of the rule to plant, {_words(rule, space)}, lies inside a rule that is confirmed")
    return [rule]


def _carried(request: CanaryRequest, suite: Suite) -> Carried:
    if request.payload and request.instruction:
        raise InputError("a canary carries a payload or an instruction: give one of --payload and --instruction")
    if request.instruction:
        return Carried("instruction", _read(request.instruction))
    if request.payload:
        return Carried("text", _read(request.payload))
    return Carried("call" if suite.declared.tools else "text", TEXT)


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as a UTF-8 text file: {error}") from error
    if not text.strip():
        raise InputError(f"{path}: is empty, so a canary would carry nothing")
    return text


def _check_promise(request: CanaryRequest, searched: Searched | None, run: RunFolder) -> None:
    """A sensitivity says something about a search with the same promise only."""
    if searched is not None and (searched.delta, searched.level) != (request.delta, request.level):
        raise InputError(
            f"{run.search}: this run was searched with --delta {searched.delta:g} --fdr {searched.level:g}; give the "
            "same ones, or search the run again"
        )


def _confirmed(searched: Searched | None, space: Space) -> list[Rule]:
    """The rules that the search of the run confirmed, as codes."""
    return [
        _coded(each.levels, space) for each in (searched.tested if searched else ()) if each.status == "CONFIRMED"
    ]


def _coded(levels: Mapping[str, Sequence[str]], space: Space) -> Rule:
    coded = sorted((space.names.index(name), inside) for name, inside in levels.items())
    return Rule(
        tuple(factor for factor, _ in coded),
        tuple(tuple(sorted(space.levels[factor].index(level) for level in inside)) for factor, inside in coded),
    )


def _words(rule: Rule, space: Space) -> str:
    return " AND ".join(
        f"{name} = {levels[0]}" if len(levels) == 1 else f"{name} in {len(levels)} levels"
        for name, levels in all_levels(rule, space).items()
    )
