"""The rules of earlier runs that a search asked first, as stored."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from diffbehav.compare.rules import STATUSES
from diffbehav.report.query import Query, known_word
from diffbehav.untrusted import visible


@dataclass(frozen=True, slots=True)
class Sentinel:
    """A rule that earlier runs confirmed and what fresh pairs of this run's models say about it."""

    rule: Mapping[str, Any]
    fingerprint: str
    runs: Sequence[str]
    """Ids of the runs that confirmed it."""
    beside: Sequence[Mapping[str, Any]]
    """Rules outside of which it was tested."""
    status: str
    reason: str | None
    """Why it was not tested; None where it was."""
    pairs: int | None
    """Fresh matched pairs; None, this and all below, where it was not tested."""
    rate_inside: float | None
    rate_outside: float | None
    effect: float | None
    effect_low: float | None
    effect_high: float | None
    """95 % confidence sequence of the effect."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def read_sentinels(query: Query) -> tuple[Sentinel, ...]:
    """In the order they were asked."""
    rows = query(
        """
        SELECT rule, fingerprint, runs, beside, status, reason, pairs, rate_inside, rate_outside, effect, effect_low,
               effect_high
        FROM sentinels ORDER BY rank
        """
    )
    return tuple(_sentinel(*row) for row in rows)


def _sentinel(
    rule: str, fingerprint: str, runs: str, beside: str, status: str, reason: str | None, *numbers: Any
) -> Sentinel:  # fmt: skip
    known_word(status, STATUSES, what="status of a rule that earlier runs confirmed")
    names, why = [visible(name) for name in json.loads(runs)], None if reason is None else visible(reason)
    return Sentinel(json.loads(rule), fingerprint, names, json.loads(beside), status, why, *numbers)
