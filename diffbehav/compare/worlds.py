"""How differently the simulated worlds of the two sides end, and where."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from diffbehav.compare.turns import EPISODE
from diffbehav.distance.measured import Measured

NO_EPISODE = "one of the two sides has no answer"
CHANGES = {
    "condition_id": pl.String, "sample": pl.Int32, "change": pl.String, "place": pl.String, "candidate": pl.String,
    "trusted": pl.String,
}  # fmt: skip


class Entry(NamedTuple):
    """One place in which the worlds differ."""

    change: str
    place: str
    candidate: str | None
    trusted: str | None


class Ended(NamedTuple):
    """One value per episode of the candidate."""

    keys: pl.DataFrame
    """condition_id, sample."""
    distance: Measured
    """Share of the entries that either side changed which are not the same on both, in [0, 1]."""
    changes: pl.DataFrame
    """Rows of world_changes."""


def ended_worlds(episodes: pl.DataFrame) -> Ended:
    """Compare the states in which both sides left their worlds; `episodes` has the columns of the parts."""
    columns = [*EPISODE, "ended", "reason", "state", "state_digest"]
    of = {side: episodes.filter(pl.col("side") == side).select(columns) for side in ("candidate", "trusted")}
    both = of["candidate"].join(of["trusted"], on=EPISODE, how="left", suffix="_trusted", maintain_order="left")
    cut = pl.coalesce(
        "the candidate's conversation could not go on: " + pl.col("reason"),
        "the trusted model's conversation could not go on: " + pl.col("reason_trusted"),
        pl.when(pl.col("state_trusted").is_null()).then(pl.lit(NO_EPISODE)),
        pl.lit(""),
    )
    reason = both.select(why=cut)["why"].to_numpy().astype(object)
    value = np.where(reason == "", 0.0, np.nan)
    rows = []
    differ = (pl.col("state_digest") != pl.col("state_digest_trusted")).fill_null(False)
    for place, condition, sample, candidate, trusted in (
        both.with_row_index().filter(differ).select("index", *EPISODE, "state", "state_trusted").iter_rows()
    ):
        entries, touched = differences(json.loads(candidate), json.loads(trusted))
        rows += [(condition, sample, *entry) for entry in entries]
        if reason[place] == "":
            value[place] = len(entries) / touched
    return Ended(
        both.select(EPISODE), Measured(value, reason), pl.DataFrame(rows, schema=CHANGES, orient="row")
    )


def differences(candidate: Mapping[str, Any], trusted: Mapping[str, Any]) -> tuple[list[Entry], int]:
    """The entries that are not the same in both states, and how many entries either side changed.

    A file is an entry, and so is each row that was added to a table, in whatever order.
    """
    files = sorted(candidate["files"].keys() | trusted["files"].keys())
    tables = sorted(candidate["rows"].keys() | trusted["rows"].keys())
    found = [entry for path in files for entry in _file(path, candidate["files"].get(path), trusted["files"].get(path))]
    touched = len(files)
    for table in tables:
        rows, others = Counter(candidate["rows"].get(table, [])), Counter(trusted["rows"].get(table, []))
        found += [Entry("added", table, row, None) for row in sorted((rows - others).elements())]
        found += [Entry("removed", table, None, row) for row in sorted((others - rows).elements())]
        touched += (rows | others).total()
    return found, touched


def _file(path: str, candidate: Mapping[str, Any] | None, trusted: Mapping[str, Any] | None) -> Iterator[Entry]:
    """A side that did not touch the file has it as it was before the other did."""
    before = (candidate or trusted or {})["before"]
    now = before if candidate is None else candidate["after"]
    other = before if trusted is None else trusted["after"]
    if now != other:
        change = "added" if other is None else "removed" if now is None else "changed"
        yield Entry(change, path, now, other)
