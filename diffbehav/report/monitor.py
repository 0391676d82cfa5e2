"""The standing alarm over a series of runs: which levels fire more than the rest of the same night, and since when."""

from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path
from typing import Any

import numpy as np

from diffbehav.report.nights import Night, Series, read_series
from diffbehav.stats.ecusum import CONTROL_FACTOR, CONTROL_MARGIN, alarms, ecusum, same_night_null_rate

SCHEMA = "diffbehav.monitor/1"
COUNTED = (
    "high: the screen score is above the threshold of its own night, which is a quantile of the conditions that no "
    "rule of that night explains; conditions without a score and those asked of the same candidate before are left out"
)
NULL = (
    f"{CONTROL_FACTOR:g} times the share of high conditions outside the level in that night, plus {CONTROL_MARGIN:g}"
)


def monitor(paths: Sequence[Path], *, arl: float, beside: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The e-CUSUM of every level over the runs at `paths`, those that alarm or are nearest to it first.

    `arl`: nights that pass on average before a series in which nothing changes raises its first alarm. Conditions
    inside a rule of `beside`, as findings show it, are left out: they are known to differ.
    """
    series = read_series(paths, beside=beside)
    return {
        "schema": SCHEMA,
        "suite": series.suite,
        "suite_digest": series.suite_digest,
        "trusted_digest": series.trusted_digest,
        "arl": arl,
        "alarm_at_log10_m": log(len(series.levels) * arl) / log(10) if series.levels else None,
        "counted": COUNTED,
        "null_rate": NULL,
        "nights": [_night_json(night) for night in series.nights],
        "levels": _levels_json(series, arl),
    }


def _levels_json(series: Series, arl: float) -> list[dict[str, Any]]:
    null_NL, log_m_NL = _paths(series.nights)
    alarm_NL = alarms(log_m_NL, arl=arl) if series.levels else np.zeros(log_m_NL.shape, bool)
    first_L = np.where(alarm_NL.any(axis=0), alarm_NL.argmax(axis=0), len(series.nights))
    order = sorted(range(len(series.levels)), key=lambda level: (first_L[level], -log_m_NL[-1, level]))
    return [
        {
            "factor": series.levels[level][0],
            "level": series.levels[level][1],
            "alarm_since": series.nights[first_L[level]].run_id if alarm_NL[:, level].any() else None,
            "rising_since": _rising_since(log_m_NL[:, level], series.nights),
            "log10_m": (log_m_NL[:, level] / log(10)).tolist(),
            "high": [int(night.high_L[level]) for night in series.nights],
            "scored": [int(night.scored_L[level]) for night in series.nights],
            "null_rate": [None if np.isnan(rate) else float(rate) for rate in null_NL[:, level]],
        }
        for level in order
    ]


def _paths(nights: Sequence[Night]) -> tuple[np.ndarray, np.ndarray]:
    """Null rate [N, L] and log M [N, L], nats, after each night."""
    null_NL = np.array([same_night_null_rate(n.high - n.high_L, n.scored - n.scored_L) for n in nights])
    log_m_L = np.zeros(null_NL.shape[1])
    path = []
    for night, null_L in zip(nights, null_NL, strict=True):
        log_m_L = ecusum(log_m_L, hits_L=night.high_L, trials_L=night.scored_L, null_rate=null_L)
        path.append(log_m_L)
    return null_NL, np.array(path)


def _rising_since(log_m_N: np.ndarray, nights: Sequence[Night]) -> str | None:
    """The night from which on the evidence at hand was gathered; None where there is none."""
    above = log_m_N > 0
    if not above[-1]:
        return None
    quiet = np.flatnonzero(~above)
    return nights[int(quiet[-1]) + 1 if len(quiet) else 0].run_id


def _night_json(night: Night) -> dict[str, Any]:
    return {
        "run": str(night.run),
        "run_id": night.run_id,
        "created": night.created,
        "candidate": night.candidate,
        "threshold": night.threshold,
        "conditions": night.conditions,
        "unscored": night.unscored,
        "beside": night.beside,
        "repeated": night.repeated,
        "shared": night.shared,
        "high": night.high,
        "scored": night.scored,
    }
