"""The token strip: how far the two models part at every token of one answer."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from diffbehav import untrusted

Numbers = Sequence[float | None]
STEP = 0.5
"""Nats of log-probability difference per colour class."""
FIRST = 2
"""The lowest class that counts as a divergence."""
LONGEST = 40
"""Characters of one token that are shown."""


class StripToken(NamedTuple):
    """One token as the page draws it."""

    text: str
    shade: int | None
    """0 (alike) to 9; None where it was not measured."""
    first: bool
    """It is the first one of the answer in class FIRST or above."""


class Strip(NamedTuple):
    """One answer of the candidate under both models."""

    measure: str
    tokens: list[StripToken]
    total: int
    """Tokens of the answer, shown or not."""


def strip(tokens: Mapping[str, Any]) -> Strip:
    """The strip of the `tokens` of a condition in report.json."""
    texts = json.loads(untrusted.from_json_untrusted(tokens["texts"]))
    measure, classes = shades(tokens["jsd_lower"], tokens["candidate_logprobs"], tokens["trusted_logprobs"])
    first = next((i for i, shade in enumerate(classes) if shade is not None and shade >= FIRST), None)
    shown = [
        StripToken(text if len(text) <= LONGEST else text[:LONGEST] + "…", shade, i == first)
        for i, (text, shade) in enumerate(zip(texts, classes, strict=True))
    ]
    return Strip(measure, shown, tokens["total"])


def shades(
    jsd_lower: Numbers, candidate_logprobs: Numbers, trusted_logprobs: Numbers
) -> tuple[str, list[int | None]]:
    """What is measured at every token, in words, and its class from 0 (alike) to 9; None where it was not measured."""
    if any(value is not None for value in jsd_lower):
        measure = "Jensen-Shannon divergence of the two next-token distributions (0.07 nat per class, lower bound)"
        return measure, [_shade(value, math.log(2) / 10) for value in jsd_lower]
    return f"difference of the two log-probabilities of the token ({STEP:g} nat per class)", [
        _shade(None if a is None or b is None else abs(a - b), STEP)
        for a, b in zip(candidate_logprobs, trusted_logprobs, strict=True)
    ]


def _shade(value: float | None, step: float) -> int | None:
    return None if value is None else min(9, int(value / step))
