"""What one run does everywhere: its drift, the reactions to single levels, and the conditions that neither explains."""

from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from diffbehav.compare.screen import CHANNELS
from diffbehav.errors import IntegrityError
from diffbehav.report.factors import Factor, read_factors
from diffbehav.report.query import querying
from diffbehav.report.rule_levels import allowed
from diffbehav.stats.clustered import FEWEST_CLUSTERS, clustered_quantiles
from diffbehav.stats.intervals import clopper_pearson
from diffbehav.stats.median_polish import Polished, median_interval, median_polish, residual_z
from diffbehav.stats.standardise import FAR, FEWEST_ROWS
from diffbehav.store import QueryError, open_untrusted, quoted

QUANTILES = (0.5, 0.95)
LEVEL = 0.95
MOST_CELLS = 20
BOUNDS = {"tf_jsd_max_lower": log(2.0)}
"""Largest possible value of a channel, nats."""
FULL = 0.95
SEED = 0
FAR_ROWS = {"row": pl.Int64, "channel": pl.String, "value": pl.Float64, "deviations": pl.Float64}
NOTHING = "not measured in any condition outside the confirmed rules"
FEW_TASKS = f"fewer than {FEWEST_CLUSTERS} tasks, so no interval"
Rule = Mapping[str, Any]


def drift(database: Path, rules: Sequence[Rule]) -> dict[str, Any]:
    """Drift, factor effects and residual cells of a run, over the conditions outside all `rules`.

    Drift: quantiles of every channel (nats); `full` where the median is at the channel's bound, so that no rule can
    stand out in it. Effects and residuals are of log1p(channel).
    """
    with querying(database) as query:
        factors = read_factors(query)
    outside = _outside(_conditions(database, factors), rules, factors)
    chosen, left_out = _ample(outside, factors)
    return {
        "conditions": outside.height,
        "channels": {name: _quantiles(outside, name) for name in CHANNELS},
        "factors": [factor.name for factor in chosen],
        "factors_left_out": left_out,
        **_explained(outside, chosen, [factor.name for factor in factors if factor.source is None]),
    }


def _conditions(database: Path, factors: Sequence[Factor]) -> pl.DataFrame:
    names = "".join(f", c.{quoted(factor.name)}" for factor in factors)
    channels = "".join(f", max(d.value) FILTER (d.distance = '{name}') AS {quoted(_column(name))}" for name in CHANNELS)
    with open_untrusted(database) as connection:
        try:
            return connection.execute(
                f"""
                SELECT c.condition_id, c.task{names}{channels} FROM conditions c
                LEFT JOIN divergences d ON d.condition_id = c.condition_id AND list_contains($channels, d.distance)
                GROUP BY c.condition_id, c.task{names} ORDER BY c.condition_id
                """,
                {"channels": list(CHANNELS)},
            ).pl()
        except QueryError as error:
            raise IntegrityError(f"{database} refuses to be read: {error}") from error


def _column(channel: str) -> str:
    """No factor can have this name."""
    return f"{channel} (nats)"


def _outside(conditions: pl.DataFrame, rules: Sequence[Rule], factors: Sequence[Factor]) -> pl.DataFrame:
    levels = {factor.name: [level.name for level in factor.levels] for factor in factors}
    outside = pl.lit(True)
    for rule in rules:
        if rule.keys() <= levels.keys():
            inside = [pl.col(name).is_in(allowed(clause, levels[name])) for name, clause in rule.items()]
            outside &= ~pl.all_horizontal(inside)
    return conditions.filter(outside)


def _quantiles(outside: pl.DataFrame, channel: str) -> dict[str, Any]:
    measured = outside.select("task", value=_column(channel)).drop_nulls("value")
    names = ("median", "q95")
    if not measured.height:
        nothing = {f"{name}{end}": None for name in names for end in ("", "_low", "_high")}
        return {"n": 0, **nothing, "reason": NOTHING, "full": False}
    found = clustered_quantiles(
        measured["value"].to_numpy(), cluster_C=measured["task"].rank("dense").to_numpy(), quantiles=QUANTILES,
        level=LEVEL, rng=np.random.default_rng(SEED),
    )  # fmt: skip
    ends = {"": found.value_Q, "_low": found.low_Q, "_high": found.high_Q}
    numbers = {f"{name}{end}": _finite(value_Q[q]) for q, name in enumerate(names) for end, value_Q in ends.items()}
    full = channel in BOUNDS and numbers["median"] is not None and numbers["median"] > FULL * BOUNDS[channel]
    reason = FEW_TASKS if np.isnan(found.low_Q[0]) else None
    return {"n": measured.height, **numbers, "reason": reason, "full": full}


def _ample(outside: pl.DataFrame, factors: Sequence[Factor]) -> tuple[list[Factor], list[str]]:
    """Factors whose levels have enough conditions each; of one that has too many, those that are derived from it."""
    ample = [
        factor for factor in factors
        if outside[factor.name].n_unique() > 1 and outside.height >= FEWEST_ROWS * outside[factor.name].n_unique()
    ]  # fmt: skip
    declared = {factor.name for factor in ample if factor.source is None}
    chosen = [factor for factor in ample if factor.source is None or factor.source not in declared]
    roots = {factor.root for factor in chosen}
    return chosen, [factor.name for factor in factors if factor.source is None and factor.name not in roots]


def _explained(outside: pl.DataFrame, factors: Sequence[Factor], shown: Sequence[str]) -> dict[str, Any]:
    """`shown`: factors whose levels a residual cell is listed with."""
    effects: list[dict[str, Any]] = []
    far = [pl.DataFrame(schema=FAR_ROWS)]
    scored_C = np.zeros(outside.height, bool)
    codes_CF = _codes(outside, factors)
    task_C = outside["task"].rank("dense").to_numpy()
    for channel in CHANNELS:
        value_C = outside[_column(channel)].cast(pl.Float64).fill_null(np.nan).to_numpy()
        kept = np.flatnonzero(~np.isnan(value_C))
        if not len(kept):
            continue
        polished = median_polish(
            np.log1p(np.maximum(value_C[kept], 0.0)), task_C=task_C[kept], codes_CF=codes_CF[kept],
            cardinalities_F=[len(factor.levels) for factor in factors],
        )  # fmt: skip
        effects += _effects(polished, codes_CF[kept], factors, channel)
        z = residual_z(polished.residual_C, task_C=task_C[kept])
        scored_C[kept] = True
        high = z > FAR
        columns = [kept[high], np.repeat(channel, high.sum()), value_C[kept[high]], z[high]]
        far.append(pl.DataFrame(dict(zip(FAR_ROWS, columns, strict=True)), schema=FAR_ROWS))
    rows = pl.concat(far).sort("deviations", descending=True).unique("row", keep="first", maintain_order=True)
    low, high_end = clopper_pearson(rows.height, scored_C.sum(), level=LEVEL)
    return {
        "effects": sorted(effects, key=lambda each: (-_at_least(each), -abs(each["effect"]))),
        "residual": {
            "far": rows.height, "n": int(scored_C.sum()), "low": float(low), "high": float(high_end),
            "deviations": FAR, "cells": [_cell(row, outside, shown) for row in rows.head(MOST_CELLS).to_dicts()],
        },
    }  # fmt: skip


def _cell(row: Mapping[str, Any], outside: pl.DataFrame, shown: Sequence[str]) -> dict[str, Any]:
    at = outside.row(row["row"], named=True)
    return {
        "condition_id": at["condition_id"],
        "task": at["task"],
        "levels": {name: at[name] for name in shown},
        **{name: row[name] for name in ("channel", "value", "deviations")},
    }


def _codes(outside: pl.DataFrame, factors: Sequence[Factor]) -> np.ndarray:
    """int64 [C, F]."""
    columns = [
        outside[factor.name].cast(pl.Enum([level.name for level in factor.levels])).to_physical().to_numpy()
        for factor in factors
    ]
    return np.array(columns, np.int64).reshape(len(factors), outside.height).T


def _effects(
    polished: Polished, codes_CF: np.ndarray, factors: Sequence[Factor], channel: str
) -> list[dict[str, Any]]:
    found = []
    for factor, effect_L, code_C in zip(factors, polished.effects_F, codes_CF.T, strict=True):
        order_C = np.argsort(code_C, kind="stable")
        ends_L = np.cumsum(np.bincount(code_C, minlength=len(effect_L)))
        inside = np.split(polished.residual_C[order_C], ends_L[:-1])
        for level, effect, residual_N in zip(factor.levels, effect_L, inside, strict=True):
            if len(residual_N):
                low, high = median_interval(residual_N + effect, level=LEVEL)
                found.append(
                    {"channel": channel, "factor": factor.name, "level": level.name, "n": len(residual_N),
                     "effect": float(effect), "low": _finite(low), "high": _finite(high)}
                )  # fmt: skip
    return found


def _at_least(effect: Mapping[str, Any]) -> float:
    """The end of the interval that is nearer to 0; 0 where it is inside or open."""
    if effect["low"] is None or effect["low"] <= 0.0 <= effect["high"]:
        return 0.0
    return float(min(abs(effect["low"]), abs(effect["high"])))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
