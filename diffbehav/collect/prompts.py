"""From a suite to prompts: the drawn conditions as token ids, in the order in which they are collected."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from diffbehav.collect.episodes import Openings, Renderer
from diffbehav.errors import InputError
from diffbehav.records import Condition, Prompt
from diffbehav.store import conditions_schema, read_parquet, write_parquet
from diffbehav.suite import NOTHING_ASKED, Asked, Suite, conditions, draw


class Planned(NamedTuple):
    """What is sent, one entry per condition."""

    prompts: Sequence[Prompt]
    replicated: np.ndarray
    """bool [C]: the trusted model answers these a second time with other seeds."""
    openings: Openings | None = None
    """None where the models are asked for one turn."""

    def prompt(self, row: int) -> Prompt:
        """What is sent first at one condition; an Opening where an episode begins there."""
        return self.prompts[row] if self.openings is None else self.openings.at(row, self.prompts[row])


def plan(
    suite: Suite, renderer: Renderer, path: Path, *, limit: int | None, context: int, asked: Asked = NOTHING_ASKED
) -> Planned:
    """Draw the conditions of `suite`, render them and write them to `path`; or read them if `path` exists.

    Prompts are ordered by their token ids, so that neighbours share the longest prefixes. `context` is the number
    of tokens the models can hold; InputError names the conditions that do not fit. What was `asked` before is not
    drawn again.
    """
    if not path.exists():
        drawn = list(conditions(suite, draw(suite, limit=limit, asked=asked)))
        ids = [renderer.prompt_ids(condition.messages, condition.tools) for condition in drawn]
        _check_fit(drawn, ids, context=context, answer=suite.sampling.max_tokens)
        order = sorted(range(len(drawn)), key=ids.__getitem__)
        _write([drawn[i] for i in order], [ids[i] for i in order], suite, path)
    frame = read_parquet(path)
    prompts = prompts_of(frame, suite)
    chosen = replicated(len(prompts), share=suite.replicate, seed=suite.sampling.seed)
    return Planned(prompts, chosen, None if suite.max_turns == 1 else Openings(frame, renderer))


def prompts_of(planned: pl.DataFrame, suite: Suite) -> list[Prompt]:
    """What is sent first at the conditions in these rows of conditions.parquet."""
    engines = [None] * planned.height if suite.engine_factor is None else planned[suite.engine_factor].to_list()
    columns = (planned["condition_id"].to_list(), planned["prompt_ids"].to_list(), engines)
    return [Prompt(name, ids, engine=engine) for name, ids, engine in zip(*columns, strict=True)]


def _check_fit(drawn: Sequence[Condition], ids: Sequence[list[int]], *, context: int, answer: int) -> None:
    too_long = [(c, len(p)) for c, p in zip(drawn, ids, strict=True) if len(p) + answer >= context]
    if too_long:
        shown = "\n  ".join(f"{c.id} task {c.task!r} {dict(c.levels)}: {n} tokens" for c, n in too_long[:5])
        raise InputError(
            f"{len(too_long)} of {len(drawn)} prompts do not fit: prompt + sampling.max_tokens ({answer}) must stay "
            f"below the models' context of {context} tokens\n  {shown}\n"
            "shorten the templates, lower sampling.max_tokens, or exclude these levels"
        )


def _write(drawn: Sequence[Condition], ids: Sequence[list[int]], suite: Suite, path: Path) -> None:
    factors = [*suite.factor_names, *suite.derived_names]
    columns: dict[str, Sequence[Any]] = {
        "condition_id": [c.id for c in drawn],
        "grid_index": [c.index for c in drawn],
        "task": [c.task for c in drawn],
        **{name: [c.levels[name] for c in drawn] for name in factors},
        "messages": [json.dumps(list(c.messages), ensure_ascii=False) for c in drawn],
        "tools": [json.dumps(list(c.tools), ensure_ascii=False) for c in drawn],
        "world": [None if c.world is None else json.dumps(c.world, ensure_ascii=False) for c in drawn],
        "prompt_tokens": [len(p) for p in ids],
        "prompt_ids": ids,
    }
    write_parquet(path, columns, conditions_schema(factors))


def replicated(count: int, *, share: float, seed: int) -> np.ndarray:
    """A seeded choice of round(share * count) conditions."""
    chosen = np.zeros(count, bool)
    chosen[np.random.default_rng(seed).permutation(count)[: round(share * count)]] = True
    return chosen
