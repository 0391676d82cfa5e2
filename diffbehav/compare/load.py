"""Reads the parts of a run, a batch of blocks at a time, as frames that align the two sides."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

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
)

BLOCKS_PER_BATCH = 16
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

    def each(self) -> Iterator[pl.DataFrame]:
        """Rows of table `conditions`, some thousand at a time."""
        return self._groups.each()

    def of(self, blocks: Sequence[int]) -> pl.DataFrame:
        """The same for the conditions of these blocks."""
        starts = [number * self._block for number in blocks]
        last = self.conditions.height
        return pl.concat(self._groups.rows(start, min(start + self._block, last)) for start in starts)


def blocks_of(folder: RunFolder, numbers: Sequence[int]) -> Iterator[Batch]:
    """The blocks with these numbers, a batch at a time."""
    for start in range(0, len(numbers), BLOCKS_PER_BATCH):
        chosen = numbers[start : start + BLOCKS_PER_BATCH]
        completions = pl.concat(
            _read(folder, folder.completions(side), chosen, COMPLETIONS).with_columns(side=pl.lit(side))
            for side in ("candidate", "trusted", "replicate")
        )
        candidate, trusted = (_aligned(folder, side, chosen, completions) for side in SCORED)
        episodes = _read(folder, folder.episodes, chosen, EPISODES) if folder.episodes.is_dir() else None
        yield Batch(chosen, completions, candidate, trusted, episodes)


def _aligned(folder: RunFolder, side: str, numbers: Sequence[int], completions: pl.DataFrame) -> pl.DataFrame:
    answers = completions.filter(pl.col("side") == side).select(*KEY, "token_ids")
    for scored_by in SCORED:
        scores = _read(folder, folder.scores(scored_by, side), numbers, SCORES)
        renamed = {
            name: f"{name}_{scored_by}" for name in scores.columns if name not in KEY
        }
        answers = answers.join(scores.rename(renamed), on=KEY, how="left", validate="1:1")
    pruned = [number for number in numbers if part_path(folder.bounds(side), number).exists()]
    if pruned:
        answers = answers.join(_read(folder, folder.bounds(side), pruned, BOUNDS), on=KEY, how="left", validate="1:1")
    return answers.sort(KEY)


def _read(folder: RunFolder, parts: Path, numbers: Sequence[int], schema: Schema) -> pl.DataFrame:
    paths = [part_path(parts, number) for number in numbers]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise IntegrityError(
            f"{missing[0]} is missing beside other parts of its block; repeat the run command, which collects the "
            f"block again: see {folder.settings}"
        )
    return pl.concat(read_part(path, schema) for path in paths)
