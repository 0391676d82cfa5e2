"""Distances from the answers as written: text, tokens and tool calls, against the trusted model's own replicate."""

from typing import NamedTuple

import numpy as np
import polars as pl

from diffbehav.compare.ragged import flat
from diffbehav.distance.calls import CallChange, call_distances
from diffbehav.distance.measured import Measured
from diffbehav.distance.text import text_differs, token_edit

NO_ANSWER = "one of the two sides has no answer"
NO_REPLICATE = "the replicate did not answer this condition"
SEVERITY = 1.0
"""Weight of every tool: without a policy nothing says which calls matter more."""
CHANGES = {
    "condition_id": pl.String, "sample": pl.Int32, "change": pl.String, "tool": pl.String, "path": pl.String,
    "candidate": pl.String, "trusted": pl.String,
}  # fmt: skip


class Outputs(NamedTuple):
    """Distances per candidate answer."""

    keys: pl.DataFrame
    """condition_id, sample: one row per value."""
    values: dict[str, Measured]
    changes: pl.DataFrame
    """Rows of argument_changes."""


def outputs(completions: pl.DataFrame) -> Outputs:
    """Compare the candidate's answers with the trusted ones; `completions` has the columns of the parts and `side`."""
    aligned = _aligned(completions)
    with_trusted = aligned["text_trusted"].is_not_null()
    both = aligned.filter(with_trusted)
    calls = call_distances(
        both["calls"].to_list(), both["calls_trusted"].to_list(), severities={}, default_severity=SEVERITY
    )
    edit = _token_edit(both, "token_ids", "token_ids_trusted")
    measured = {
        "text_differs": text_differs(both["text"].to_numpy(), both["text_trusted"].to_numpy()),
        "token_edit": edit,
        "call_distance": calls.distance_N,
        "extra_calls": calls.extra_N,
        "missing_calls": calls.missing_N,
        "parse_failure_excess": _failed(both["parse"]) - _failed(both["parse_trusted"]),
    }
    values = {name: _spread(value, with_trusted, otherwise=NO_ANSWER) for name, value in measured.items()}
    values["token_edit_excess"] = _excess(aligned, edit, with_trusted)
    return Outputs(aligned.select("condition_id", "sample"), values, _changes(both, calls.changes_N))


def _aligned(completions: pl.DataFrame) -> pl.DataFrame:
    """One row per candidate answer with the other sides' answers of the same condition and sample beside it."""
    key = ["condition_id", "sample"]
    columns = [*key, "text", "token_ids", "calls", "parse"]
    of = {side: completions.filter(pl.col("side") == side).select(columns) for side in ("trusted", "replicate")}
    candidate = completions.filter(pl.col("side") == "candidate").select(columns)
    return candidate.join(of["trusted"], on=key, how="left", suffix="_trusted").join(
        of["replicate"], on=key, how="left", suffix="_replicate"
    )


def _excess(aligned: pl.DataFrame, edit: np.ndarray, with_trusted: pl.Series) -> Measured:
    """How far token_edit exceeds that of the trusted answer against the replicate's; 0 within it."""
    with_replicate = with_trusted & aligned["text_replicate"].is_not_null()
    three = aligned.filter(with_replicate)
    own = _token_edit(three, "token_ids_trusted", "token_ids_replicate")
    excess = np.maximum(edit[with_replicate.filter(with_trusted).to_numpy()] - own, 0.0)
    return _spread(excess, with_replicate, otherwise=NO_REPLICATE)


def _token_edit(frame: pl.DataFrame, candidate: str, trusted: str) -> np.ndarray:
    (ids, offsets), (other_ids, other_offsets) = flat(frame[candidate]), flat(frame[trusted])
    return token_edit(ids, other_ids, candidate_offsets_N1=offsets, trusted_offsets_N1=other_offsets)


def _failed(parse: pl.Series) -> np.ndarray:
    return (parse == "failed").to_numpy().astype(float)


def _spread(values: np.ndarray, present: pl.Series, *, otherwise: str) -> Measured:
    """Values of the rows where `present`; the other rows are missing with the reason `otherwise`."""
    where = present.to_numpy()
    value, reason = np.full(len(where), np.nan), np.full(len(where), otherwise, dtype=object)
    value[where], reason[where] = values, ""
    return Measured(value, reason)


def _changes(frame: pl.DataFrame, changes: list[tuple[CallChange, ...]]) -> pl.DataFrame:
    keys = frame.select("condition_id", "sample").iter_rows()
    rows = [(*key, *change) for key, found in zip(keys, changes, strict=True) for change in found]
    return pl.DataFrame(rows, schema=CHANGES, orient="row")
