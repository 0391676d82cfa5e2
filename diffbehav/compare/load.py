"""Reads the parts of a run, a batch of blocks at a time, as frames that align the two sides."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from diffbehav.compare.stored import check_answers, check_keys
from diffbehav.errors import InputError, IntegrityError
from diffbehav.store import (
    BOUNDS,
    COMPLETIONS,
    EPISODES,
    SCORES,
    RowGroups,
    RunFolder,
    Schema,
    part_path,
    read_parquet,
    read_part,
    unpacked_bytes,
)

BLOCKS_PER_BATCH = 16
BYTES_PER_BATCH = 64 << 20
"""Of the parts of a batch, unpacked. Comparing takes several times as much."""
SIDES = ("candidate", "trusted", "replicate")
SCORED = ("candidate", "trusted")
KEY = ["condition_id", "sample", "turn"]
"""What names an answer of one side."""


class Batch(NamedTuple):
    """The parts of some blocks."""

    blocks: Sequence[int]
    completions: pl.DataFrame
    """Columns of the parts and `side`."""
    on_candidate: pl.DataFrame
    """A row per candidate answer, sorted: condition_id, sample, turn, token_ids, and logprobs, top_ids, top_logprobs,
    reason of both scorers with the suffixes _candidate and _trusted. The columns of BOUNDS where a block is pruned."""
    on_trusted: pl.DataFrame
    """The same for the trusted answers."""
    episodes: pl.DataFrame | None
    """Columns of the parts; None where the models were asked for one turn."""


def batches(folder: RunFolder, conditions: int, block: int) -> Iterator[Batch]:
    """Every collected block; InputError when none is, IntegrityError when a part is missing beside others."""
    numbers = [n for n in range(-(-conditions // block)) if part_path(folder.completions("candidate"), n).exists()]
    if not numbers:
        raise InputError(f"{folder.path} has no collected answers yet; repeat its run command: see run.json")
    return blocks_of(folder, numbers)


class Context:
    """What was sent at the conditions of a run, read for the blocks that are compared."""

    def __init__(self, folder: RunFolder, factors: Sequence[str], block: int) -> None:
        known = ["condition_id", "grid_index", "task", *factors]
        self._groups = RowGroups(
            folder.conditions, columns=[*known, "messages", "tools", "world", "prompt_tokens"]
        )
        self._block = block
        self.conditions = read_parquet(folder.conditions, columns=known)
        """A row per condition, without what was sent."""
        check_keys(self.conditions, ["condition_id"], of=folder.conditions.name)

    def each(self) -> Iterator[pl.DataFrame]:
        """Rows of table `conditions`, some thousand at a time."""
        return self._groups.each()

    def of(self, blocks: Sequence[int]) -> pl.DataFrame:
        """The same for the conditions of these blocks."""
        starts = [number * self._block for number in blocks]
        last = self.conditions.height
        return pl.concat(self._groups.rows(start, min(start + self._block, last)) for start in starts)


def blocks_of(folder: RunFolder, numbers: Sequence[int]) -> Iterator[Batch]:
    """The blocks with these numbers, a batch at a time: as many as the budget allows, one at least."""
    for chosen in _cut(folder, numbers):
        completions = pl.concat(
            _read(folder, folder.completions(side), chosen, COMPLETIONS).with_columns(side=pl.lit(side))
            for side in SIDES
        )
        check_answers(completions)
        candidate, trusted = (_aligned(folder, side, chosen, completions) for side in SCORED)
        episodes = _read(folder, folder.episodes, chosen, EPISODES) if folder.episodes.is_dir() else None
        yield Batch(chosen, completions, candidate, trusted, episodes)


def held(folder: RunFolder, number: int) -> int:
    """What the parts of a block hold, in bytes; a missing part holds nothing."""
    scores = [folder.scores(scored_by, side) for scored_by in SCORED for side in SCORED]
    bounds = [folder.bounds(side) for side in SCORED]
    parts = [folder.episodes, *map(folder.completions, SIDES), *scores, *bounds]
    paths = [part_path(each, number) for each in parts]
    return sum(unpacked_bytes(path) for path in paths if path.exists())


def _cut(folder: RunFolder, numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    chosen: list[int] = []
    total = 0
    for number in numbers:
        size = held(folder, number)
        if chosen and (len(chosen) == BLOCKS_PER_BATCH or total + size > BYTES_PER_BATCH):
            yield chosen
            chosen, total = [], 0
        chosen.append(number)
        total += size
    if chosen:
        yield chosen


def _aligned(folder: RunFolder, side: str, numbers: Sequence[int], completions: pl.DataFrame) -> pl.DataFrame:
    answers = completions.filter(pl.col("side") == side).select(*KEY, "token_ids")
    for scored_by in SCORED:
        scores = _read(folder, folder.scores(scored_by, side), numbers, SCORES)
        renamed = {
            name: f"{name}_{scored_by}" for name in scores.columns if name not in KEY
        }
        answers = _joined(answers, scores.rename(renamed), of=f"scores of {scored_by} on {side}")
    pruned = [number for number in numbers if part_path(folder.bounds(side), number).exists()]
    if pruned:
        answers = _joined(answers, _read(folder, folder.bounds(side), pruned, BOUNDS), of=f"bounds on {side}")
    return answers.sort(KEY)


def _joined(answers: pl.DataFrame, others: pl.DataFrame, *, of: str) -> pl.DataFrame:
    check_keys(others, KEY, of=of)
    return answers.join(others, on=KEY, how="left")


def _read(folder: RunFolder, parts: Path, numbers: Sequence[int], schema: Schema) -> pl.DataFrame:
    paths = [part_path(parts, number) for number in numbers]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise IntegrityError(
            f"{missing[0]} is missing beside other parts of its block; repeat the run command, which collects the "
            f"block again: see {folder.settings}"
        )
    return pl.concat(read_part(path, schema) for path in paths)
