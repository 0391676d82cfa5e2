"""Whether what a run folder holds can be compared at all: it may come from elsewhere, or have been changed by hand."""

import json
from collections.abc import Mapping, Sequence

import polars as pl

from diffbehav.distance.text import MOST_IDS
from diffbehav.errors import IntegrityError

OPTIONAL = ("results", "prompt_digest", "parse_reason")
"""Columns of answers that are missing where there is nothing to say."""
PARSES = ("none", "parsed", "failed")
AGAIN = "collect the run again into another folder"


def check_answers(completions: pl.DataFrame) -> None:
    """IntegrityError where a row of the parts, with `side`, is no answer or is there twice."""
    required = pl.exclude(OPTIONAL)
    _refuse(completions.filter(pl.any_horizontal(required.is_null())), "a value of it is missing")
    check_keys(completions, ["condition_id", "side", "sample", "turn"], of="completions")
    later, failed = pl.col("turn") > 0, pl.col("parse") == "failed"
    fits = (pl.col("sample") >= 0) & (pl.col("turn") >= 0) & pl.col("parse").is_in(PARSES)
    fits &= (pl.col("prompt_digest").is_not_null() == later) & (pl.col("parse_reason").is_not_null() == failed)
    _refuse(completions.filter(~fits), "its values contradict each other")
    ids = pl.col("token_ids").list
    outside = (ids.min() < 0) | (ids.max() >= MOST_IDS) | (ids.drop_nulls().list.len() < ids.len())
    _refuse(completions.filter(outside), f"its token ids are not all in 0..{MOST_IDS - 1}")
    broken = [text for text in completions["calls"].unique() if not _are_calls(text)]
    no_calls = "its calls are no JSON array of objects with the texts `name` and `arguments`"
    _refuse(completions.filter(pl.col("calls").is_in(broken)), no_calls)


def check_keys(rows: pl.DataFrame, key: Sequence[str], *, of: str) -> None:
    """IntegrityError where two rows have the same values of `key`; `of` says what the rows are."""
    twice = rows.select(key).is_duplicated()
    if twice.any():
        found = ", ".join(map(repr, rows.select(key).row(twice.arg_true()[0])))
        raise IntegrityError(f"{of}: {', '.join(key)} = {found} is there twice; {AGAIN}")


def check_conditions(conditions: pl.DataFrame, levels: Mapping[str, Sequence[str]]) -> None:
    """IntegrityError where a condition lacks a value, or a factor of it has a level that it does not have."""
    needed = {name: pl.col(name).is_not_null() for name in conditions.columns if name != "world"}
    known = {name: pl.col(name).is_in(of) for name, of in levels.items()}
    known["prompt_tokens"] = pl.col("prompt_tokens") > 0
    for name, holds in (needed | known).items():
        for row in conditions.filter(~holds.fill_null(False)).head(1).iter_rows(named=True):
            raise IntegrityError(
                f"conditions.parquet: {name} of condition {row['condition_id']!r} cannot be {row[name]!r}; {AGAIN}"
            )


def check_known(completions: pl.DataFrame, conditions: pl.DataFrame) -> None:
    """IntegrityError where an answer is to no condition of `conditions`."""
    _refuse(completions.join(conditions, on="condition_id", how="anti"), "it answers no condition of its block")


def check_vocabulary(vocabulary: pl.DataFrame) -> None:
    """IntegrityError where a token of it has no id, or no text."""
    whole = pl.col("token_id").is_between(0, MOST_IDS - 1) & pl.col("text").is_not_null()
    if not vocabulary.select(whole.fill_null(False).all()).item():
        raise IntegrityError("vocabulary.parquet: a token has no text, or an id that is none; " + AGAIN)


def _refuse(rows: pl.DataFrame, reason: str) -> None:
    for row in rows.head(1).iter_rows(named=True):
        raise IntegrityError(
            f"the {row['side']} answer, sample {row['sample']}, turn {row['turn']}, to condition "
            f"{row['condition_id']!r}: {reason}; {AGAIN}"
        )


def _are_calls(text: str) -> bool:
    try:
        calls = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(calls, list) and all(
        isinstance(call, dict) and isinstance(call.get("name"), str) and isinstance(call.get("arguments"), str)
        for call in calls
    )
