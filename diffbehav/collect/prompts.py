"""From a suite to prompts: the drawn conditions as token ids, in the order in which they are collected."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import polars as pl

from diffbehav.collect.episodes import Renderer, opening
from diffbehav.collect.rendering import Render, rendering
from diffbehav.errors import InputError
from diffbehav.records import Condition, Prompt
from diffbehav.store import RowGroups, conditions_schema, read_parquet, write_sorted
from diffbehav.suite import NOTHING_ASKED, Asked, Suite, conditions, draw

DRAWN_AT_ONCE = 8192
"""Conditions in memory while they are rendered."""
ROW_GROUP = 2048
"""Conditions in memory of each part of the plan that is read."""
_OPEN_GROUPS = 4
_SHOWN = 5


class Prompts(Sequence[Prompt]):
    """What is sent first at every planned condition, read from conditions.parquet where it is wanted."""

    def __init__(self, path: Path, suite: Suite, renderer: Renderer) -> None:
        self._suite = suite
        self._renderer = renderer
        self._episodes = suite.max_turns > 1
        engine = [] if suite.engine_factor is None else [suite.engine_factor]
        context = ["messages", "tools", "world"] if self._episodes else []
        self._groups = RowGroups(path, columns=["condition_id", "prompt_ids", *engine, *context])
        self._open = lru_cache(maxsize=_OPEN_GROUPS)(self._read)
        columns = read_parquet(path, columns=["prompt_tokens", *engine])
        self.longest: int = columns["prompt_tokens"].max() or 0  # type: ignore[assignment]
        """Tokens of the longest prompt."""
        self.rows_of: Mapping[str | None, np.ndarray] = _rows_of(columns[engine[0]] if engine else None, len(self))
        """Engine level -> int64 rows that it serves; one entry, None, where the suite has no such factor."""

    def __len__(self) -> int:
        return int(self._groups.starts[-1])

    @overload
    def __getitem__(self, row: int) -> Prompt: ...
    @overload
    def __getitem__(self, row: slice) -> list[Prompt]: ...

    def __getitem__(self, row: int | slice) -> Prompt | list[Prompt]:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        return self._at(range(len(self))[row])[0]

    def first(self, row: int) -> Prompt:
        """The prompt at `row`; an Opening where an episode begins there."""
        prompt, context = self._at(row)
        if not self._episodes:
            return prompt
        messages, tools, world = (json.loads(text) for text in context)
        return opening(prompt, messages, tools, world, self._renderer)

    def spread(self, count: int) -> list[Prompt]:
        """About `count` prompts of every engine level, evenly spread."""
        return [
            self[int(row)] for rows in self.rows_of.values() for row in rows[:: max(1, len(rows) // count)][:count]
        ]

    def _at(self, row: int) -> tuple[Prompt, Sequence[str]]:
        group = self._groups.of(row)
        prompts, contexts = self._open(group)
        place = row - int(self._groups.starts[group])
        return prompts[place], contexts[place]

    def _read(self, group: int) -> tuple[list[Prompt], Sequence[Sequence[str]]]:
        frame = self._groups.read(group)
        contexts = frame.select("messages", "tools", "world").rows() if self._episodes else [()] * frame.height
        return prompts_of(frame, self._suite), contexts


class Planned(NamedTuple):
    """What is sent, one entry per condition."""

    prompts: Prompts
    replicated: np.ndarray
    """bool [C]: the trusted model answers these a second time with other seeds."""
    turns: int
    """Most turns of a conversation."""

    @property
    def episodes(self) -> bool:
        """Whether the models are asked for more than one turn."""
        return self.turns > 1

    def prompt(self, row: int) -> Prompt:
        """What is sent first at one condition; an Opening where an episode begins there."""
        return self.prompts.first(row)


def plan(
    suite: Suite, renderer: Renderer, path: Path, *, limit: int | None, context: int, asked: Asked = NOTHING_ASKED
) -> Planned:
    """Draw the conditions of `suite`, render them and write them to `path`; or read them if `path` exists.

    Prompts are ordered by their token ids, so that neighbours share the longest prefixes. `context` is the number
    of tokens the models can hold; InputError names the conditions that do not fit. What was `asked` before is not
    drawn again.
    """
    if not path.exists():
        factors = [*suite.factor_names, *suite.derived_names]
        drawn = conditions(suite, draw(suite, limit=limit, asked=asked))
        with rendering(renderer) as render:
            rendered = _rendered(drawn, render, factors, context=context, answer=suite.sampling.max_tokens)
            write_sorted(path, rendered, conditions_schema(factors), by="prompt_ids", group=ROW_GROUP)
    prompts = Prompts(path, suite, renderer)
    chosen = replicated(len(prompts), share=suite.replicate, seed=suite.sampling.seed)
    return Planned(prompts, chosen, turns=suite.max_turns)


def prompts_of(planned: pl.DataFrame, suite: Suite) -> list[Prompt]:
    """What is sent first at the conditions in these rows of conditions.parquet."""
    engines = [None] * planned.height if suite.engine_factor is None else planned[suite.engine_factor].to_list()
    columns = (planned["condition_id"].to_list(), planned["prompt_ids"].to_list(), engines)
    return [Prompt(name, ids, engine=engine) for name, ids, engine in zip(*columns, strict=True)]


def _rendered(
    drawn: Iterator[Condition], render: Render, factors: Sequence[str], *, context: int, answer: int
) -> Iterator[Mapping[str, Sequence[Any]]]:
    """Columns of conditions.parquet, a chunk of conditions at a time; InputError behind the last where some are too
    long."""
    too_long, count, total = list[str](), 0, 0
    while chunk := list(islice(drawn, DRAWN_AT_ONCE)):
        ids = render(chunk)
        long = [(c, len(p)) for c, p in zip(chunk, ids, strict=True) if len(p) + answer >= context]
        too_long += [f"{c.id} task {c.task!r} {dict(c.levels)}: {n} tokens" for c, n in long[: _SHOWN - len(too_long)]]
        count, total = count + len(long), total + len(chunk)
        yield _columns(chunk, ids, factors)
    if count:
        shown = "\n  ".join(too_long)
        raise InputError(
            f"{count} of {total} prompts do not fit: prompt + sampling.max_tokens ({answer}) must stay "
            f"below the models' context of {context} tokens\n  {shown}\n"
            "shorten the templates, lower sampling.max_tokens, or exclude these levels"
        )


def _columns(drawn: Sequence[Condition], ids: Sequence[list[int]], factors: Sequence[str]) -> dict[str, Sequence[Any]]:
    return {
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


def _rows_of(engines: pl.Series | None, count: int) -> dict[str | None, np.ndarray]:
    if engines is None:
        return {None: np.arange(count)}
    return {level: np.flatnonzero((engines == level).to_numpy()) for level in engines.unique(maintain_order=True)}


def replicated(count: int, *, share: float, seed: int) -> np.ndarray:
    """A seeded choice of round(share * count) conditions."""
    chosen = np.zeros(count, bool)
    chosen[np.random.default_rng(seed).permutation(count)[: round(share * count)]] = True
    return chosen
