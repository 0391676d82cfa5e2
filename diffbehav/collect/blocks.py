"""Blocks of conditions and the parts they become; a block is whole or it is collected again."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from diffbehav.collect.answers import SCORED, Answers, Row
from diffbehav.records import SIDES
from diffbehav.store import COMPLETIONS, EPISODES, SCORES, RunFolder, part_path, read_parquet, write_parquet

BLOCK = 128
"""Conditions per part: the unit of resume."""


def block_rows(block: int, total: int) -> range:
    """The positions of the conditions of `block`."""
    return range(block * BLOCK, min((block + 1) * BLOCK, total))


def block_count(total: int) -> int:
    """How many blocks `total` conditions make."""
    return -(-total // BLOCK)


def is_collected(folder: RunFolder, block: int, *, episodes: bool) -> bool:
    """Whether every part of `block` is there, that of the `episodes` included where the run has them."""
    paths = [*_paths(folder, block), *([part_path(folder.episodes, block)] if episodes else [])]
    return all(path.exists() for path in paths)


def discard(folder: RunFolder, block: int) -> None:
    """Remove what an interrupted write left, so that no part of an older pass mixes with a new one."""
    bounds = [part_path(folder.bounds(side), block) for side in SCORED]
    for path in (*_paths(folder, block), part_path(folder.episodes, block), *bounds):
        path.unlink(missing_ok=True)


def count_answers(folder: RunFolder, blocks: Iterable[int]) -> dict[str, int]:
    """Stored answers per side, an episode as one; IntegrityError when a part cannot be opened."""
    counts: dict[str, int] = dict.fromkeys(SIDES, 0)
    for block in blocks:
        heights = [int((read_parquet(path, columns=["turn"])["turn"] == 0).sum()) for path in _paths(folder, block)]
        for side, height in zip(SIDES, heights, strict=False):
            counts[side] += height
    return counts


def stored_bytes(folder: RunFolder) -> int:
    """What the conditions, their answers and the scores take on disk."""
    roots = [folder.completions(SIDES[0]).parent, folder.scores(*SCORED).parent, folder.episodes]
    parts = [path for root in roots for path in root.rglob("part-*.parquet")]
    return sum(path.stat().st_size for path in (folder.conditions, *parts))


def write_block(folder: RunFolder, block: int, answers: Sequence[Answers]) -> None:
    """Write all parts of `block`; that of the episodes first, where there are any."""
    episodes = [row for each in answers for row in each.episodes]
    if episodes:
        write_parquet(part_path(folder.episodes, block), _columns(episodes, EPISODES.names), EPISODES)
    for side in SIDES:
        rows = [row for each in answers for row in each.completions.get(side, ())]
        write_parquet(part_path(folder.completions(side), block), _columns(rows, COMPLETIONS.names), COMPLETIONS)
    for by in SCORED:
        for of in SCORED:
            rows = [row for each in answers for row in each.scores[by, of]]
            write_parquet(part_path(folder.scores(by, of), block), _columns(rows, SCORES.names), SCORES)


def _columns(rows: Sequence[Row], names: Iterable[str]) -> dict[str, Sequence[object]]:
    return {name: [row[name] for row in rows] for name in names}


def _paths(folder: RunFolder, block: int) -> list[Path]:
    return [part_path(folder.completions(side), block) for side in SIDES] + [
        part_path(folder.scores(by, of), block) for by in SCORED for of in SCORED
    ]
