"""Drops the alternatives at each token where nobody will ask for them; what distances are made of stays."""

from pathlib import Path
from typing import NamedTuple

import polars as pl

from diffbehav.compare.likelihoods import SUMMARIES, ragged
from diffbehav.compare.load import KEY, SCORED, blocks_of
from diffbehav.errors import InputError
from diffbehav.store import (
    BOUNDS,
    SCORES,
    RunFolder,
    open_untrusted,
    part_path,
    read_parquet,
    read_settings,
    write_parquet,
    write_settings,
)
from diffbehav.store.lock import alone_in

_DIGITS = 8
"""Of a condition's id, which is a digest: they say whether it is in the sample."""


class Pruned(NamedTuple):
    """What pruning a run came to."""

    conditions: int
    kept: int
    """Conditions that keep their alternatives."""
    bytes_before: int
    """Of the scores and what stands for them."""
    bytes_after: int


def prune(run: Path, *, share: float) -> Pruned:
    """Keep the top-k log-probabilities of conditions that are flagged or may be, and of a fixed `share` of the others.

    Of all conditions the log-probabilities of the answers stay, and per token the bounds that distances are made of, so
    that `compare` gives the same numbers again. A second call goes on behind an interrupted one.
    """
    folder = RunFolder(run)
    read_settings(folder)
    with alone_in(folder):
        return _prune(folder, share)


def _prune(folder: RunFolder, share: float) -> Pruned:
    settings = read_settings(folder)
    if "collected" not in settings:
        raise InputError(
            f"{folder.path} is not finished; repeat its run command, see {folder.settings}, and prune it then"
        )
    with open_untrusted(folder.database) as connection:
        found_rows = connection.execute("SELECT condition_id, coalesce(flagged, true) FROM outcomes").fetchnumpy()
    rows = pl.DataFrame(dict(zip(("condition_id", "flagged"), found_rows.values(), strict=True)))
    in_sample = pl.col("condition_id").str.head(_DIGITS).str.to_integer(base=16) < round(share * 16**_DIGITS)
    kept = rows.filter(pl.col("flagged") | in_sample)["condition_id"]
    before = settings.get("pruned", {}).get("bytes_before", _bytes(folder))
    write_settings(folder, settings | {"pruned": {"share": share, "bytes_before": before}})
    for block in range(-(-rows.height // settings["block"])):
        if part_path(folder.completions("candidate"), block).exists():
            _prune_block(folder, block, kept)
    found = Pruned(rows.height, kept.len(), before, _bytes(folder))
    write_settings(folder, settings | {"pruned": {"share": share, **found._asdict()}})
    return found


def _prune_block(folder: RunFolder, block: int, kept: pl.Series) -> None:
    """Each side's bounds are written before any alternatives go, so a run that is killed here has lost nothing."""
    (batch,) = blocks_of(folder, [block])
    for side, frame in zip(SCORED, (batch.on_candidate, batch.on_trusted), strict=True):
        if not (path := part_path(folder.bounds(side), block)).exists():
            write_parquet(path, _summaries(frame).to_dict(as_series=False), BOUNDS)
    for by in SCORED:
        for of in SCORED:
            path = part_path(folder.scores(by, of), block)
            scores = read_parquet(path)
            stays = pl.col("condition_id").is_in(kept.implode())
            thinned = scores.with_columns(pl.when(stays).then(pl.col("top_ids", "top_logprobs")))
            if thinned["top_ids"].null_count() > scores["top_ids"].null_count():
                write_parquet(path, thinned.to_dict(as_series=False), SCORES)


def _summaries(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of BOUNDS for the answers that both models scored."""
    scored = ragged(frame)
    keys = frame.select(KEY)[scored.rows_N.tolist()].with_row_index("answer")
    lengths = pl.Series(scored.offsets_N1).diff().drop_nulls().to_numpy()
    tokens = pl.DataFrame({name: getattr(scored.bounds, f"{name}_M") for name in SUMMARIES}).with_columns(
        answer=pl.Series(keys["answer"].to_numpy().repeat(lengths))
    )
    lists = tokens.group_by("answer").agg(pl.col(SUMMARIES))
    joined: pl.DataFrame = keys.join(lists, on="answer", how="left", maintain_order="left").drop("answer")
    return joined


def _bytes(folder: RunFolder) -> int:
    parts = [*(folder.path / "scores").rglob("*.parquet"), *(folder.path / "bounds").rglob("*.parquet")]
    return sum(path.stat().st_size for path in parts)
