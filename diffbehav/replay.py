"""Asks stored conditions again with live engines: does every answer come back as it was?"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from diffbehav.collect.answers import calls_json
from diffbehav.collect.episodes import Episode, Renderer, opening, play
from diffbehav.collect.prompts import prompts_of
from diffbehav.collect.run import open_again
from diffbehav.errors import InputError
from diffbehav.records import Prompt, Sampling, well_formed
from diffbehav.report import findings_json
from diffbehav.serve import Engines
from diffbehav.store import RunFolder, open_untrusted, read_parquet, read_settings
from diffbehav.suite import suite_from_resolved

SIDES = ("candidate", "trusted")
EXCERPT = 40
"""Characters of both texts that are shown at the first difference."""


class Wanted(NamedTuple):
    """One condition that is asked again."""

    condition_id: str
    place: str
    """`inside` or `outside` the rule; empty where the condition belongs to no minimal pair."""


class Stored(NamedTuple):
    """One turn as the run has it."""

    side: str
    sample: int
    turn: int
    token_ids: Sequence[int]
    text: str
    calls: str
    """JSON array of {"name", "arguments"}."""
    finish_reason: str


Answers = Mapping[Wanted, Sequence[Stored]]
"""Condition -> every turn of both sides."""


class Replayed(NamedTuple):
    """One answer against its stored one."""

    condition_id: str
    place: str
    side: str
    sample: int
    turn: int
    difference: str | None
    """Where the first difference is, with text of a model in it; None where the answers match."""


def replay(
    run: Path, *, condition: str | None, finding: str | None, on_stage: Callable[[str], None]
) -> list[Replayed]:
    """Every answer of the minimal pair of `finding`, or of the one that `condition` is a half of, against a new one.

    A condition of no minimal pair is asked alone. IntegrityError where the models are no longer those of the run.
    """
    folder = RunFolder(run)
    stored = stored_answers(folder, condition=condition, finding=finding)
    return asyncio.run(_replay(folder, stored, on_stage))


async def _replay(folder: RunFolder, stored: Answers, on_stage: Callable[[str], None]) -> list[Replayed]:
    on_stage("starting the engines")
    engines, renderer = await open_again(folder)
    on_stage(f"asking {len(stored)} conditions again")
    try:
        return await asked_again(folder, stored, engines, renderer)
    finally:
        await engines.close()


def stored_answers(folder: RunFolder, *, condition: str | None, finding: str | None) -> Answers:
    """What a finding id (or its number) or a condition id asks for; InputError where the run has no such thing."""
    return {each: _stored(folder, each.condition_id) for each in _wanted(folder, condition, finding)}


def _wanted(folder: RunFolder, condition: str | None, finding: str | None) -> list[Wanted]:
    found = findings_json(folder.path)["findings"]
    pairs = {each["id"]: each["minimal_pair"] for each in found if each["minimal_pair"]}
    if finding is not None:
        name = f"F{int(finding):03d}" if finding.isascii() and finding.isdigit() else finding
        if name not in pairs:
            raise InputError(
                f"{folder.path}: no finding {finding!r} with a minimal pair; there are {', '.join(pairs) or 'none'}"
            )
        return _halves(pairs[name])
    pair = next((each for each in pairs.values() if condition in (each["inside"], each["outside"])), None)
    return [Wanted(str(condition), "")] if pair is None else _halves(pair)


def _halves(pair: Mapping[str, str]) -> list[Wanted]:
    return [Wanted(pair[place], place) for place in ("inside", "outside")]


async def asked_again(folder: RunFolder, stored: Answers, engines: Engines, renderer: Renderer) -> list[Replayed]:
    """Both sides answer exactly what was sent then, with the seeds of the run."""
    sampling = Sampling(**read_settings(folder)["sampling"])
    prompts = _prompts(folder, [each.condition_id for each in stored], renderer)
    keys = list(dict.fromkeys((each, turn.side, turn.sample) for each, turns in stored.items() for turn in turns))
    sides = dict(zip(SIDES, engines, strict=True))
    played = await asyncio.gather(
        *(play(sides[side], prompts[each.condition_id], sample, sampling) for each, side, sample in keys)
    )
    rows = []
    for (each, side, sample), episode in zip(keys, played, strict=True):
        turns = [turn for turn in stored[each] if (turn.side, turn.sample) == (side, sample)]
        rows += [Replayed(*each, side, sample, turn, difference) for turn, difference in _compared(turns, episode)]
    return rows


def _prompts(folder: RunFolder, names: Sequence[str], renderer: Renderer) -> dict[str, Prompt]:
    rows = read_parquet(folder.conditions).filter(pl.col("condition_id").is_in(list(names)))
    absent = set(names) - set(rows["condition_id"])
    if absent:
        raise InputError(f"{folder.path} has no condition {sorted(absent)[0]!r}")
    suite = suite_from_resolved(read_settings(folder)["suite"], name=str(folder.settings))
    found = {}
    contexts = rows.select("messages", "tools", "world").iter_rows()
    for prompt, (messages, tools, world) in zip(prompts_of(rows, suite), contexts, strict=True):
        found[prompt.condition_id] = prompt
        if world is not None:
            sent, offered, started = (json.loads(text) for text in (messages, tools, world))
            found[prompt.condition_id] = opening(prompt, sent, offered, started, renderer)
    return found


def _stored(folder: RunFolder, condition: str) -> list[Stored]:
    with open_untrusted(folder.database) as connection:
        rows = connection.execute(
            """
            SELECT side, sample, turn, token_ids, text, calls, finish_reason FROM completions
            WHERE condition_id = $id AND side IN ('candidate', 'trusted') ORDER BY side, sample, turn
            """,
            {"id": condition},
        ).fetchall()
    if not rows:
        raise InputError(f"{folder.path} holds no answer to condition {condition!r}")
    return [Stored(*row) for row in rows]


def _compared(stored: Sequence[Stored], episode: Episode | None) -> list[tuple[int, str | None]]:
    """Turn and first difference of every turn that either has."""
    turns = episode.turns if episode is not None else []
    rows: list[tuple[int, str | None]] = []
    for k in range(max(len(stored), len(turns))):
        if k >= len(turns):
            rows.append((k, "no answer now"))
        elif k >= len(stored):
            rows.append((k, "no answer then"))
        else:
            answer = turns[k].answer
            now = stored[k]._replace(
                token_ids=list(answer.token_ids),
                text=answer.text,
                calls=calls_json(answer.calls),
                finish_reason=answer.finish_reason,
            )
            rows.append((k, first_difference(stored[k], now)))
    return rows


def first_difference(then: Stored, now: Stored) -> str | None:
    """Where two answers part first, in words and with an excerpt of both; None where they are the same."""
    text, calls = well_formed(now.text), well_formed(now.calls)
    if list(then.token_ids) != list(now.token_ids):
        token = _parting(then.token_ids, now.token_ids)
        return f"token {token + 1} of {len(then.token_ids)}; {_excerpts(then.text, text)}"
    if then.text != text:
        return f"the tokens are the same and the text is not; {_excerpts(then.text, text)}"
    if then.calls != calls:
        return f"the text is the same and the calls are not; {_excerpts(then.calls, calls)}"
    if then.finish_reason != now.finish_reason:
        return f"ended by {then.finish_reason} then, by {now.finish_reason} now"
    return None


def _excerpts(then: str, now: str) -> str:
    at = _parting(then, now)
    return f"character {at + 1}: {then[at : at + EXCERPT]!r} then, {now[at : at + EXCERPT]!r} now"


def _parting(then: Sequence[object], now: Sequence[object]) -> int:
    """The first place in which two sequences differ; the length of the shorter one where one begins the other."""
    length = min(len(then), len(now))
    return next((i for i in range(length) if then[i] != now[i]), length)
