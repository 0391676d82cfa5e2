"""What a run would ask and expose, counted before anything is spent. Needs no model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from diffbehav.collect.prompts import replicated
from diffbehav.errors import InputError
from diffbehav.stats.prevalence import prevalence_bound
from diffbehav.suite import (
    MISS,
    SENSITIVITY,
    Column,
    Coverage,
    Grid,
    Suite,
    conditions,
    draw,
    exposures_needed,
    independent,
    suite_coverage,
)
from diffbehav.suite.coverage import Exposed

SCHEMA = "diffbehav.plan/1"
SENSITIVITIES = (1.0, 0.65, 0.3)
LEVEL = 0.95
STRENGTH = 3
MOST_CONDITIONS = 5_000_000
"""More are not drawn: a run of them could not be planned either."""
RENDERED = 20_000
"""Conditions that are rendered to find templates and cells that a run would refuse."""
SAID = 10
"""Pairs of factors that get a line of their own."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cells that a run would ask, and what follows from them."""

    suite: Suite
    cells: np.ndarray
    """int64 [C], in the order drawn."""
    columns: Sequence[Column]
    coverage: Coverage
    search_calls: int
    limited: bool
    """Whether a limit keeps the design from asking more."""


def estimate(suite: Suite, *, limit: int | None, search_calls: int) -> Estimate:
    """Draw the conditions of `suite` and count; InputError says what a run of it would refuse."""
    cells = np.fromiter(islice(draw(suite, limit=limit), MOST_CONDITIONS + 1), dtype=np.int64)
    if len(cells) > MOST_CONDITIONS:
        raise InputError(
            f"{suite.name}: the design asks more than {MOST_CONDITIONS:,} conditions, the grid has "
            f"{Grid(suite).size:,} cells\n  fix: give --limit, or use a random or a covering design"
        )
    for _ in conditions(suite, cells[:RENDERED].tolist()):
        pass
    exposures = exposures_needed(SENSITIVITY, miss=MISS)
    columns, coverage = suite_coverage(suite, cells.tolist(), strength=STRENGTH, exposures=exposures)
    return Estimate(suite, cells, columns, coverage, search_calls, limited=limit == len(cells))


def estimate_json(found: Estimate) -> dict[str, Any]:
    """Everything that is known without models, as JSON values; `measured` is for what needs them."""
    suite, coverage = found.suite, found.coverage
    contexts, how = independent(suite, len(found.cells))
    share = prevalence_bound(0, contexts, sensitivity=SENSITIVITIES, level=LEVEL)
    return {
        "schema": SCHEMA,
        "suite": {"id": suite.id, "version": suite.version, "digest": suite.digest},
        "design": suite.declared.design.model_dump(mode="json"),
        "cells": Grid(suite).size,
        "conditions": len(found.cells),
        "max_turns": suite.max_turns,
        "engine_settings": list(suite.engine_settings),
        "calls": _calls(found),
        "coverage": {
            "sensitivity": SENSITIVITY,
            "miss": MISS,
            "exposures": coverage.exposures,
            "columns": [column._asdict() | {"levels": len(column.levels)} for column in found.columns],
            "strengths": [{"strength": t, **coverage.total(t)._asdict()} for t in range(1, STRENGTH + 1)],
            "pairs": [_pair(each, found.columns) for each in coverage.exposed if len(each.columns) == 2],
            "rarest_level": _rarest(found, 1),
            "rarest_pair": _rarest(found, 2),
        },
        "contexts": contexts,
        "contexts_how": how,
        "detectable": [{"sensitivity": p, "share": float(s)} for p, s in zip(SENSITIVITIES, share, strict=True)],
        "remarks": list(_remarks(found)),
        "measured": None,
    }


def _calls(found: Estimate) -> dict[str, Any]:
    suite, count = found.suite, len(found.cells)
    n = suite.sampling.n
    again = int(replicated(count, share=suite.replicate, seed=suite.sampling.seed).sum())
    search = found.search_calls
    return {
        "collect": {"candidate": count * n, "trusted": count * n, "replicate": again * n, "scores": 4 * count * n},
        "search": {"candidate": search, "trusted": search, "scores": 4 * search},
    }


def _pair(each: Exposed, columns: Sequence[Column]) -> dict[str, Any]:
    first, second = (columns[column].name for column in each.columns)
    return {
        "first": first, "second": second, "possible": each.possible, "once": each.once, "often": each.often,
        "least": each.least,
    }  # fmt: skip


def _rarest(found: Estimate, strength: int) -> dict[str, Any] | None:
    """The combination of so many levels with the fewest exposures; None where there is none."""
    some = [each for each in found.coverage.exposed if len(each.columns) == strength and each.possible]
    if not some:
        return None
    each = min(some, key=lambda each: (each.least, each.possible))
    levels = {
        found.columns[column].name: found.columns[column].levels[level]
        for column, level in zip(each.columns, each.rarest, strict=True)
    }
    return {"levels": levels, "exposures": each.least}


def _remarks(found: Estimate) -> Iterator[str]:
    """What the design cannot do, each with its remedy."""
    by_columns = {each.columns: each for each in found.coverage.exposed}
    for place, column in enumerate(found.columns):
        if column.kind != "task" and len(column.levels) == 1:
            yield f"factor `{column.name}` has one level, so nothing can differ with it: add a level or remove it"
        gone = len(column.levels) - by_columns[(place,)].possible
        if gone:
            yield f"the exclusions leave nothing for {gone:,} levels of `{column.name}`: remove them or exclude less"
        unmet = by_columns[(place,)].possible - by_columns[(place,)].once
        if unmet:
            yield f"{unmet:,} levels of `{column.name}` are in no condition: {_remedy(found)}"
    yield from _pair_remarks(found)


def _pair_remarks(found: Estimate) -> Iterator[str]:
    needed = found.coverage.exposures
    varied = {place for place, column in enumerate(found.columns) if len(column.levels) > 1}
    pairs = [each for each in found.coverage.exposed if len(each.columns) == 2 and set(each.columns) <= varied]
    if not pairs:
        yield "this design cannot see pairs at all, because fewer than two things vary: add a factor or a task"
        return
    unseen = [each for each in pairs if not each.often]
    if len(unseen) == len(pairs):
        yield (
            f"this design cannot see pairs at all: no pair of levels is exposed {needed} times, so a rule of two "
            f"factors that shows in {SENSITIVITY:.0%} of its exposures can stay silent everywhere: "
            f"{_remedy(found)}"
        )
        return
    for each in unseen[:SAID]:
        first, second = (found.columns[column].name for column in each.columns)
        yield (
            f"0 % of the {each.possible:,} pairs of `{first}` and `{second}` are exposed {needed} times, which takes "
            f"{each.possible * needed:,} conditions at least: {_remedy(found)}, or give them fewer levels"
        )
    if len(unseen) > SAID:
        yield f"so it is with {len(unseen) - SAID:,} more pairs of factors"


def _remedy(found: Estimate) -> str:
    """How the run gets more conditions."""
    if found.limited:
        return "raise --limit"
    kinds = {"random": "raise design.n", "covering": "raise design.passes", "full": "add tasks, the grid is used up"}
    return kinds[found.suite.design.kind]
