"""A run's place in the coverage ledger: what was asked before it, and what it adds."""

import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from diffbehav.collect.answers import SCORED
from diffbehav.store import EARLIER, LedgerKey, RunFolder, append, open_ledger, read_parquet, write_parquet
from diffbehav.suite import NOTHING_ASKED, Asked

Settings = Mapping[str, Any]


def new_entry(run_id: str) -> str:
    """A name in the ledger that no other run has: folders of different nights may have the same name."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", run_id).strip("-_")
    return f"{plain[:60] or 'run'}-{uuid.uuid4().hex[:12]}"


def look_back(folder: RunFolder, settings: Settings) -> dict[str, Any]:
    """Keep what the ledger holds in the run folder, and name its entries for run.json.

    Nothing is done where the conditions are drawn already: a run can be continued and compared again when the ledger
    has gone on.
    """
    if settings.get("ledger") is None or folder.conditions.exists():
        return {}
    ledger = open_ledger(Path(settings["ledger"]), _key(settings))
    write_parquet(folder.earlier, {"grid_index": ledger.grid_indices.tolist()}, EARLIER)
    return {"earlier_runs": list(ledger.entries)}


def asked_before(folder: RunFolder, settings: Settings) -> Asked:
    """What earlier runs of the ledger asked when the conditions were drawn."""
    if settings.get("ledger") is None:
        return NOTHING_ASKED
    return Asked(len(settings["earlier_runs"]), read_parquet(folder.earlier)["grid_index"].to_numpy())


def add_to_ledger(folder: RunFolder, settings: Settings) -> None:
    """Append the cells that both sides answered; a second time replaces the first."""
    if settings.get("ledger") is None:
        return
    conditions = read_parquet(folder.conditions, columns=["condition_id", "grid_index"])
    for side in SCORED:
        conditions = conditions.join(_answered(folder, side), on="condition_id", how="semi")
    cells = conditions["grid_index"].to_numpy()
    append(Path(settings["ledger"]), _key(settings), entry=settings["ledger_entry"], grid_indices=cells)


def _answered(folder: RunFolder, side: str) -> pl.DataFrame:
    def parts() -> Iterator[pl.DataFrame]:
        for path in sorted(folder.completions(side).glob("part-*.parquet")):
            yield read_parquet(path, columns=["condition_id"])

    return pl.concat([pl.DataFrame(schema={"condition_id": pl.String}), *parts()])


def _key(settings: Settings) -> LedgerKey:
    candidate, trusted = settings["sides"]["candidate"], settings["sides"]["trusted"]
    whole = [candidate["digest"], candidate.get("adapter_digest")]
    return LedgerKey("+".join(filter(None, whole)), trusted["digest"], settings["suite_digest"])
