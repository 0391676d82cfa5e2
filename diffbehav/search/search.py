"""A search: candidate rules in, rules confirmed or refuted on fresh matched pairs out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from diffbehav.search.code_rate import try_code_rates
from diffbehav.search.confirm import Confirmed
from diffbehav.search.hunt import Hunt, OnStep, Screen
from diffbehav.search.oracle import Ask, BudgetSpent, Oracle
from diffbehav.search.sentinels import Asked, Hypothesis, ask_sentinels
from diffbehav.search.space import Space
from diffbehav.stats.ebh import ebh
from diffbehav.stats.eprocess import LEVEL, Interval, effect_interval, tally

MOST_ROUNDS = 8
Status = Literal["CONFIRMED", "NOT CONFIRMED", "INCONCLUSIVE", "NOT TESTED"]


@dataclass(frozen=True, slots=True)
class Promise:
    """What a confirmation promises; each value changes its meaning, so none has a default."""

    delta: float
    """Tolerated excess of the firing rate over matched controls, e.g. 0.05."""
    level: float
    """False discovery rate over the rules of the run, e.g. 0.05."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule and what fresh pairs say about it."""

    tested: Confirmed
    status: Status
    effect: Interval
    """95 % confidence sequence of the excess, not adjusted for the choice of rules."""


@dataclass
class Outcome:
    """Everything a search found out."""

    verdicts: list[Verdict] = field(default_factory=list)
    calls_spent: int = 0
    spent: bool = False
    """Whether the budget, or the number of rounds, ended the search before it had nothing left to ask."""
    unmeasured: int = 0
    """Conditions that were asked and have no score; they count as conditions that did not fire."""
    sentinels: "list[Verdict | str]" = field(default_factory=list)
    """For each sentinel what fresh pairs say about it, or why it was not tested."""


async def search(
    screen: Screen, space: Space, ask: Ask, *, calls: int, promise: Promise, seed: int, on_step: OnStep,
    sentinels: Sequence[Hypothesis] = (), wide: Screen | None = None,
) -> Outcome:  # fmt: skip
    """Rules confirmed or refuted on fresh matched pairs within `calls` answers of the candidate.

    `wide` holds contexts that were scored and not asked: they propose as the screen does, and nothing more. The
    `sentinels` are asked first; e-BH holds over them and the rules of the search together.
    """
    hunt = Hunt(screen, space, promise.delta, calls, seed, on_step, wide=wide)
    oracle = Oracle(space, ask, hunt.calibration(), calls_left=calls)
    exhausted = False
    asked = await ask_sentinels(sentinels, hunt, oracle)
    try:
        for _ in range(MOST_ROUNDS):
            if not await hunt.round(oracle):
                exhausted = True
                break
        await try_code_rates(hunt, oracle)
    except BudgetSpent:
        pass
    verdicts = _verdicts([*hunt.sentinels, *hunt.tested], promise)
    earlier, new = verdicts[: len(hunt.sentinels)], verdicts[len(hunt.sentinels) :]
    spent = not exhausted or hunt.is_open
    return Outcome(new, oracle.calls_spent, spent, oracle.unmeasured, _in_order(asked, earlier))


def _in_order(asked: Sequence[Asked], verdicts: Sequence[Verdict]) -> list[Verdict | str]:
    left = iter(verdicts)
    return [next(left) if each.reason is None else each.reason for each in asked]


def _verdicts(tested: list[Confirmed], promise: Promise) -> list[Verdict]:
    rejected = ebh(np.exp([each.log_e for each in tested]), level=promise.level)
    return [_verdict(each, bool(sure)) for each, sure in zip(tested, rejected, strict=True)]


def _verdict(tested: Confirmed, rejected: bool) -> Verdict:
    effect = effect_interval(tally(tested.difference_P), level=LEVEL)
    if tested.untested is not None:
        return Verdict(tested, "NOT TESTED", effect)
    if rejected:
        return Verdict(tested, "CONFIRMED", effect)
    return Verdict(tested, "NOT CONFIRMED" if tested.status == "refuted" else "INCONCLUSIVE", effect)
