"""Rows of `sentinels`: the rules of earlier runs that a search asked first."""

import json
from typing import Any

import polars as pl

from diffbehav.compare.searched import Searched, Sentinel

SENTINELS = {
    "rank": pl.Int32, "rule": pl.String, "fingerprint": pl.String, "runs": pl.String, "beside": pl.String,
    "status": pl.String, "reason": pl.String, "pairs": pl.Int32, "rate_inside": pl.Float64, "rate_outside": pl.Float64,
    "effect": pl.Float64, "effect_low": pl.Float64, "effect_high": pl.Float64,
}  # fmt: skip


def sentinel_rows(searched: Searched | None) -> pl.DataFrame:
    """In the order they were asked."""
    sentinels = () if searched is None else searched.sentinels
    return pl.DataFrame([_row(rank, each) for rank, each in enumerate(sentinels, start=1)], schema=SENTINELS)


def _row(rank: int, sentinel: Sentinel) -> dict[str, Any]:
    tested = sentinel.tested
    numbers = ("pairs", "rate_inside", "rate_outside", "effect", "effect_low", "effect_high")
    return {
        "rank": rank,
        "rule": json.dumps(sentinel.rule, ensure_ascii=False),
        "fingerprint": sentinel.fingerprint,
        "runs": json.dumps(sentinel.runs, ensure_ascii=False),
        "beside": json.dumps([each["rule"] for each in tested.beside] if tested else [], ensure_ascii=False),
        "status": sentinel.status,
        "reason": sentinel.reason,
        **{name: None if tested is None else getattr(tested, name) for name in numbers},
    }
