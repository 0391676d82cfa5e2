"""Wald's sequential probability ratio test: does this context fire, in as few answers as the evidence allows?"""

from dataclasses import dataclass
from math import log, log1p
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

Decision = Literal["hit", "miss", "undecided"]


@dataclass(frozen=True, slots=True)
class Sprt:
    """A test of Bernoulli trials, firing rate at most `p0` against at least `p1` (Wald, 1945).

    With h hits in n trials the log likelihood ratio is L = h log(p1/p0) + (n - h) log((1 - p1)/(1 - p0)).
    L >= log((1 - beta)/alpha) is a hit, L <= log(beta/(1 - alpha)) a miss.

    Promised, for a question that is closed at its first decision, however many trials lie between two looks:
    P(hit) <= alpha/(1 - beta) at every rate up to `p0`, P(miss) <= beta/(1 - alpha) at every rate from `p1` on.
    The `cap` does not weaken this, because a question that reaches it stays undecided: it is not called a miss.
    Nothing is promised for rates between `p0` and `p1`.
    """

    p0: float
    """Highest rate of a context that does not fire, in (0, p1)."""
    p1: float
    """Lowest rate of a context that fires, in (p0, 1)."""
    alpha: float
    """Nominal chance to call a miss a hit; alpha + beta < 1."""
    beta: float
    """Nominal chance to call a hit a miss."""
    cap: int
    """Trials after which no more are asked for."""

    def __post_init__(self) -> None:
        if not 0.0 < self.p0 < self.p1 < 1.0:
            raise ValueError(f"p0 = {self.p0!r} and p1 = {self.p1!r}: 0 < p0 < p1 < 1 is needed")
        if not (self.alpha > 0.0 and self.beta > 0.0 and self.alpha + self.beta < 1.0):
            raise ValueError(f"alpha = {self.alpha!r} and beta = {self.beta!r}: both above 0, their sum below 1")

    def decide(self, hits: int, trials: int) -> Decision:
        """The decision on one question."""
        decision: Decision = self.decide_each(hits, trials).item()
        return decision

    def decide_each(self, hits_Q: ArrayLike, trials_Q: ArrayLike) -> np.ndarray:
        """str [Q]: the decision on each of Q parallel questions."""
        ratio_Q = self.log_ratio(hits_Q, trials_Q)
        hit_Q = ratio_Q >= log((1.0 - self.beta) / self.alpha)
        miss_Q = ratio_Q <= log(self.beta / (1.0 - self.alpha))
        return np.where(hit_Q, "hit", np.where(miss_Q, "miss", "undecided"))

    def asks(self, hits_Q: ArrayLike, trials_Q: ArrayLike) -> np.ndarray:
        """bool [Q]: questions that need a further trial: undecided and below the cap."""
        return np.asarray((self.decide_each(hits_Q, trials_Q) == "undecided") & (np.asarray(trials_Q) < self.cap))

    def log_ratio(self, hits_Q: ArrayLike, trials_Q: ArrayLike) -> np.ndarray:
        """float64 [Q]: the log likelihood ratio L in nats, 0 without trials; above 0 the trials favour `p1`."""
        hits_Q, trials_Q = np.asarray(hits_Q), np.asarray(trials_Q)
        per_hit = log(self.p1 / self.p0)
        per_miss = log1p(-self.p1) - log1p(-self.p0)
        return np.asarray(hits_Q * per_hit + (trials_Q - hits_Q) * per_miss)
