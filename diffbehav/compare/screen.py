"""One screen score per condition: the channels standardised within their task and folded."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from diffbehav.stats.fold import fold
from diffbehav.stats.majority import majority
from diffbehav.stats.rule import Rule, matches
from diffbehav.stats.standardise import outlying, standardised

CHANNELS = ("llr_scan", "tf_jsd_max_lower", "llr_token_max")
LEAST_MEASURED = 0.99
"""A channel takes part if it was measured in this share of the conditions that any channel was measured in.

A replay can score no answer that the trusted model never gave. Such a channel is missing just where the models part,
and ranking what is left of it would lift ordinary conditions above those.
"""
NOTHING_MEASURED = "no channel could be measured"
EQUAL_SIDES = "equal everywhere"


class Screened(NamedTuple):
    """The screen scores of a run."""

    rows: pl.DataFrame
    """Rows of `screen`, in the order of the conditions."""
    far: float
    """Share of the conditions that lie far above the centre of their task in any channel."""
    majority: Rule | None
    """The rule that holds in most conditions, if one does: all are measured by the others then."""


def screen(
    conditions: pl.DataFrame, measured: pl.DataFrame, codes_CF: np.ndarray, *, cardinalities_F: Sequence[int]
) -> Screened:
    """Score every one of `conditions` (condition_id, task); `measured` has a row per condition and the channels.

    `codes_CF` has the level of every factor.
    """
    values = conditions.select("condition_id", "task").join(measured, on="condition_id", how="left")
    task = values["task"].rank("dense").to_numpy()
    columns = {name: values[name].fill_null(np.nan).to_numpy() for name in CHANNELS}
    used = _measured_throughout(columns)
    values_HC = np.stack([columns[name] for name in used])
    rule = majority(values_HC, codes_CF, task_C=task, cardinalities_F=cardinalities_F)
    ordinary_C = np.ones(len(task), bool) if rule is None else ~matches(rule, codes_CF)
    z_HC = standardised(values_HC, task_C=task, among_C=ordinary_C)
    folded = fold(z_HC)
    names = np.array([*used, EQUAL_SIDES], dtype=object)
    score = pl.Series(folded.score_C, nan_to_null=True)
    rows = values.select("condition_id").with_columns(
        score=score,
        channel=pl.when(score.is_not_null()).then(pl.Series(names[folded.channel_C], dtype=pl.String)),
        reason=pl.when(score.is_null()).then(pl.lit(NOTHING_MEASURED)),
    )
    return Screened(rows, float(outlying(z_HC).mean()), rule)


def _measured_throughout(columns: Mapping[str, np.ndarray]) -> list[str]:
    measured = {name: int(np.count_nonzero(~np.isnan(column))) for name, column in columns.items()}
    most = max(measured.values())
    return [name for name, count in measured.items() if count >= LEAST_MEASURED * most]
