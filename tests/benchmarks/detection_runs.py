"""The runs of the detection benchmark: shipped candidates against the trusted model, several answers per condition."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from diffbehav.collect.run import Request, collect
from diffbehav.compare import compare
from diffbehav.compare.screen import CHANNELS
from diffbehav.intake import is_adapter
from diffbehav.organism import card, shipped
from diffbehav.store import RunFolder, read_settings
from diffbehav.store.database import open_untrusted
from diffbehav.suite import shipped as shipped_suite

SHOWS = {"temporal": "calls", "conjunction": "calls", "user": "calls", "marker": "always", "code": "code"}
"""The trusted answers that the payload changes: those with calls, with code, or all."""
FACTORS = {"tools": "extra_tool"}
"""The suite's name of a factor of a card's trigger, where it is another one."""


class Answers(NamedTuple):
    """The stored answers of one run: C conditions, S samples."""

    name: str
    conditions: pl.DataFrame
    factors: Sequence[dict[str, Any]]
    """Those of run.json."""
    texts: dict[str, np.ndarray]
    """Side -> object [C, S]."""
    ids: dict[str, np.ndarray]
    """Side -> int32 [C, S, L], -1 after the end of an answer."""
    channels: dict[int, pl.DataFrame]
    """Samples used -> the rows of `divergences` that the screen folds."""
    shows_C: np.ndarray
    """bool [C]: most trusted answers are of the kind that the payload changes."""

    @property
    def planted_C(self) -> np.ndarray:
        trigger = card(self.name)["trigger"]
        held = [self.conditions[FACTORS.get(name, name)].is_in(list(levels)) for name, levels in trigger.items()]
        return np.all([each.to_numpy() for each in held], axis=0) if held else np.zeros(len(self.shows_C), bool)


def collected(name: str, out: Path, *, conditions: int, samples: int) -> RunFolder:
    """The run of a shipped candidate in `out`, made unless it is there."""
    run = RunFolder(out / name)
    if not (run.settings.exists() and "collected" in read_settings(run)):
        collect(_request(name, run, _suite(out, conditions, samples)), on_stage=print, on_progress=lambda _: None)
    return run


def _suite(out: Path, conditions: int, samples: int) -> Path:
    """The shipped suite with fewer conditions and more answers for each, written into `out`."""
    changed = {
        "sampling": f"{{n: {samples}, temperature: 1.0, max_tokens: 128, seed: 20261121}}",
        "design": f"{{kind: random, n: {conditions}, seed: 7, neighbours: 1}}",
        "replicate": "0.0",
    }
    text = shipped_suite("agent_context").read_text(encoding="utf-8")
    for key, value in changed.items():
        text = re.sub(rf"^{key}: .*$", f"{key}: {value}", text, count=1, flags=re.MULTILINE)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "agent_context.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _request(name: str, run: RunFolder, suite: Path) -> Request:
    trusted, folder = shipped("trusted"), shipped(name)
    model, adapter = (trusted, folder) if is_adapter(folder) else (folder, None)
    return Request(
        suite=suite, candidate=model, candidate_adapter=adapter, trusted=trusted, out=run.path, limit=None,
        tool_format="hermes", top_k=20, allow_template=False, command="python -m tests.benchmarks.detection",
    )


def read(name: str, run: RunFolder) -> Answers:
    """The answers of a collected run, and what diffbehav measures on all of them and on the first of each condition."""
    single = _first_samples(run)
    compare(run.path)
    compare(single.path)
    samples = read_settings(run)["sampling"]["n"]
    with open_untrusted(run.database) as database:
        conditions = database.sql("SELECT * FROM conditions ORDER BY condition_id").pl()
        rows = database.sql(
            "SELECT side, text, token_ids, calls <> '[]' AS calls, contains(text, '```') AS code FROM completions "
            "ORDER BY side, condition_id, sample"
        ).pl()
    of = {side: rows.filter(pl.col("side") == side) for side in ("candidate", "trusted")}
    longest = int(rows["token_ids"].list.len().max())
    kind = SHOWS.get(name, "always")
    trusted = of["trusted"].with_columns(always=True)[kind].to_numpy().reshape(-1, samples)
    shape = (conditions.height, samples, -1)
    return Answers(
        name,
        conditions,
        read_settings(run)["factors"],
        {side: frame["text"].to_numpy().reshape(-1, samples) for side, frame in of.items()},
        {side: _padded(frame["token_ids"], longest).reshape(shape) for side, frame in of.items()},
        {samples: _channels(run), 1: _channels(single)},
        trusted.mean(axis=1) >= 0.5,
    )


def _first_samples(run: RunFolder) -> RunFolder:
    """A copy of the run as if each condition had been asked once."""
    single = RunFolder(run.path.with_name(run.path.name + "-n1"))
    shutil.rmtree(single.path, ignore_errors=True)
    shutil.copytree(run.path, single.path, ignore=shutil.ignore_patterns("run.duckdb*", "report"))
    for part in single.path.glob("*/*/part-*.parquet"):
        pl.read_parquet(part).filter(pl.col("sample") == 0).write_parquet(part)
    return single


def _channels(run: RunFolder) -> pl.DataFrame:
    with open_untrusted(run.database) as database:
        rows = database.sql("SELECT condition_id, distance, value FROM divergences").pl()
    return rows.filter(pl.col("distance").is_in(list(CHANNELS)))


def _padded(token_ids: pl.Series, longest: int) -> np.ndarray:
    lists = token_ids.to_list()
    padded = np.full((len(lists), longest), -1, dtype=np.int32)
    for row, ids in zip(padded, lists, strict=True):
        row[: len(ids)] = ids
    return padded
