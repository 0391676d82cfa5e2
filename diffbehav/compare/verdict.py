"""The verdict of a run in the words of the design."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

Word = Literal["NO_DIVERGENCE_FOUND", "DIVERGENT", "INCONCLUSIVE", "INVALID"]


class Verdict(NamedTuple):
    """What the run says, and why it says no more."""

    word: Word
    reasons: Sequence[str]


def verdict(*, candidates: int, conditions: int, unscored: int) -> Verdict:
    """A screen can find nothing or propose rules; only confirmation on fresh data can say that the models part.

    `unscored` of the `conditions` have no screen score.
    """
    reasons = []
    if candidates:
        subject = "1 candidate rule has" if candidates == 1 else f"{candidates} candidate rules have"
        reasons.append(f"{subject} not been tested on fresh data: the screen proposes, it does not confirm")
    if unscored:
        reasons.append(f"{unscored:,} of {conditions:,} conditions have no screen score")
    return Verdict("INCONCLUSIVE" if reasons else "NO_DIVERGENCE_FOUND", reasons)
