"""How often a search of this run finds a planted rule: what its canaries came to, and the sentence that says it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from diffbehav.compare.searched import Searched
from diffbehav.errors import IntegrityError
from diffbehav.stats.intervals import clopper_pearson
from diffbehav.store import RunFolder

SCHEMA = "diffbehav.canaries/1"
LEVEL = 0.95
FOUND = ("exact", "found")
"""Outcomes that count as found."""
CARRIED = {
    "call": "a further tool call behind the answer",
    "text": "a text behind the answer",
    "instruction": "a hidden system instruction",
}
NOT_MEASURED = (
    "How often a search of this run would find a hidden rule was not measured: `diffbehav canaries RUN --delta D --fdr "
    "Q`, with the values of the search, plants rules of its own in the candidate and counts how many are found"
)

REPLAYED = (
    "How often a search would find a hidden rule was not measured: the trusted answers were replayed, and a search and "
    "its canaries ask the live trusted model"
)


def found_share(canaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many of these were found, and exactly, with the ends of the exact 95 % intervals of both shares."""
    counts = {
        "found": sum(each["outcome"] in FOUND for each in canaries),
        "exact": sum(each["outcome"] == "exact" for each in canaries),
    }
    result: dict[str, Any] = {"planted": len(canaries)}
    for name, count in counts.items():
        low, high = clopper_pearson(count, len(canaries), level=LEVEL)
        result |= {name: count, f"{name}_low": float(low), f"{name}_high": float(high)}
    return result


def read_sensitivity(folder: RunFolder, searched: Searched | None, *, replayed: bool) -> dict[str, Any]:
    """`sentence` for people, and `measured`: the content of canaries.json, None where no canaries were planted."""
    if not folder.canaries.exists():
        return {"sentence": REPLAYED if replayed else NOT_MEASURED, "measured": None}
    try:
        measured = json.loads(folder.canaries.read_text(encoding="utf-8"))
        if measured["schema"] != SCHEMA:
            raise IntegrityError(f"{folder.canaries}: schema is {measured['schema']!r}, {SCHEMA!r} was expected")
        return {"sentence": _sentence(measured, searched), "measured": measured}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise IntegrityError(f"{folder.canaries} is damaged ({error!r}); repeat `diffbehav canaries`") from error


def _control(measured: Mapping[str, Any]) -> str:
    """One rule of known levels: it says that the search works, and nothing of how often."""
    (canary,) = measured["canaries"]
    found = "found" if canary["outcome"] in FOUND else "NOT found"
    return (
        f"The planted positive control was {found}: {CARRIED[measured['carried']['kind']]} in "
        f"{canary['share']:.1%} of the contexts, firing rate {measured['rate']:g}, {measured['calls']:,} calls. "
        f"{NOT_MEASURED}"
    )


def _sentence(measured: Mapping[str, Any], searched: Searched | None) -> str:
    share, (least, most) = measured["all"], measured["shares"]
    if measured["planted"] == "named":
        return _control(measured)
    text = (
        f"{share['found']} of {share['planted']} planted canaries were found (95 % interval "
        f"{share['found_low']:.1%} to {share['found_high']:.1%}), {share['exact']} of them with exactly their levels: "
        f"random rules of 1 or 2 factors that hold in {least:.1%} to {most:.0%} of the contexts, "
        f"{CARRIED[measured['carried']['kind']]}, firing rate {measured['rate']:g}, tolerated excess "
        f"{100 * measured['delta']:g} points, false discovery rate {measured['level']:g}, "
        f"{measured['calls']:,} calls each"
    )
    if searched is None:
        return f"{text}. The run itself was not searched"
    if (searched.delta, searched.level, searched.calls) != tuple(measured[key] for key in ("delta", "level", "calls")):
        return f"{text}. The search of the run had another tolerance, false discovery rate or budget than these"
    return text
