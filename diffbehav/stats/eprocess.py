"""Betting on matched pairs: the evidence that a rule fires more often than tolerated, valid at every look.

A pair draws the same task and context twice, with the rule whole and with one of its factors broken. It gives
X = 1[whole above tau] - 1[broken above tau] in {-1, 0, 1}. The tolerance null is E[X | past] <= delta.
"""

from math import log, log1p
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

STAKES = (0.1, 0.3, 0.5, 0.7, 0.9)
THRESHOLD = 400.0
"""An e-value that alone survives e-BH at 5 % among up to 20 rules."""
MOST_PAIRS = 400
LEVEL = 0.95
"""Of the confidence sequence whose high end refutes a rule."""
DELTAS = np.arange(-99, 101) / 100.0
"""The 200 effects that an interval tests: hundredths from -0.99 to 1."""


class Tally(NamedTuple):
    """Matched pairs counted by their difference; three arrays of one shape, e.g. an entry a rule."""

    up: np.ndarray
    """int64: pairs with X = 1."""
    same: np.ndarray
    """int64: pairs with X = 0."""
    down: np.ndarray
    """int64: pairs with X = -1."""


class Interval(NamedTuple):
    """Ends of an interval for E X, in [-1, 1]."""

    low: np.ndarray
    high: np.ndarray


class Confirmation(NamedTuple):
    """Where the confirmation of each rule stands; arrays of one entry a rule."""

    status: np.ndarray
    """str: `reached` (W >= 400), `refuted` (the confidence sequence lies at or below delta), `spent` (400
    pairs) or `open` (draw more pairs)."""
    pairs: np.ndarray
    """int64: pairs up to the stop, or all so far; later pairs do not count."""
    log_e: np.ndarray
    """float64, nats: log W after these pairs, the e-value to hand to e-BH; 0 without pairs."""


def tally(differences: ArrayLike) -> Tally:
    """The pairs of [..., N] differences counted over the last axis."""
    return Tally(*(count[..., -1] for count in running_tally(differences)))


def running_tally(differences: ArrayLike) -> Tally:
    """The count [..., N + 1] before the first and after each of N pairs."""
    differences = np.asarray(differences)
    if not np.isin(differences, (-1, 0, 1)).all():
        odd = differences[~np.isin(differences, (-1, 0, 1))].flat[0]
        raise ValueError(f"a matched pair has the difference {odd!r}: leave out pairs other than -1, 0 and 1")
    start = [(0, 0)] * (differences.ndim - 1) + [(1, 0)]
    return Tally(*(np.pad(np.cumsum(differences == value, axis=-1), start) for value in (1, 0, -1)))


def log_e_value(pairs: Tally, *, delta: ArrayLike) -> np.ndarray:
    """log W in nats: the log of the capital won by betting against E X <= `delta`, which is above -1.

    W_n = mean over the stakes s of prod_k (1 + s (X_k - delta)/(1 + delta)) (Waudby-Smith and Ramdas, 2024);
    the order of the pairs does not matter, so it needs their counts only. The least factor is 1 - s > 0.
    0 says nothing; below 0 speaks for the null.

    Promised: under the null E W <= 1 at every stopping time, so W is an e-value, and P(W >= c ever) <= 1/c
    (Ville, 1939). Not an e-value: the largest W so far.
    """
    delta = np.asarray(delta, dtype=np.float64)
    log_sum = np.float64(-np.inf)
    for stake in STAKES:
        log_win, log_tie = (np.log1p(stake * (x - delta) / (1.0 + delta)) for x in (1.0, 0.0))
        log_capital = pairs.up * log_win + pairs.same * log_tie + pairs.down * log1p(-stake)
        log_sum = np.logaddexp(log_sum, log_capital)
    return np.asarray(log_sum - log(len(STAKES)))


def confirm_status(differences: ArrayLike, *, delta: float) -> Confirmation:
    """Stop [..., N] differences, in the order drawn, at W >= 400, refuted, or after 400 pairs.

    Promised for every rule with E[X | past] <= `delta`: it is `reached` with a chance of at most 1/400, and
    exp(`log_e`) is an e-value. `reached` is no verdict: that is e-BH's over all rules of the run. Promised for every
    rule with a constant E[X | past] > `delta`: it is `refuted` with a chance of at most (1 - LEVEL)/2.
    """
    path = running_tally(differences)
    log_e = log_e_value(path, delta=delta)
    place = np.arange(log_e.shape[-1])
    reached = log_e >= log(THRESHOLD)
    refuted = _is_refuted(path, delta)
    spent = place >= MOST_PAIRS
    stops = reached | refuted | spent
    stop = np.where(stops.any(axis=-1), stops.argmax(axis=-1), place[-1])
    status = np.select([reached, refuted, spent], ["reached", "refuted", "spent"], "open")
    return Confirmation(_at(status, stop), stop, _at(log_e, stop))


def effect_interval(pairs: Tally, *, level: float) -> Interval:
    """Confidence sequence for E X: the effects that neither of two betting e-processes rejects.

    The low end is the largest of `DELTAS` with W(delta) >= 2/(1 - level), the high end the same for -X; -1 and
    1 where nothing is rejected. W falls in delta, so nothing below a rejected effect is left. Since W < 1 at
    every delta above the mean of the pairs, the interval always holds that mean. It is at most 0.01 wider at
    either end than without the grid.

    Promised, for one rule with E[X | past] constant: P(E X lies inside at all looks) >= `level`, e.g. 0.95. It
    is not adjusted for the choice of the rules that are reported.
    """
    wall = _wall(level)
    return Interval(_low_end(pairs, wall), 0.0 - _low_end(_negated(pairs), wall))


def _is_refuted(pairs: Tally, delta: float) -> np.ndarray:
    """Whether the high end of `effect_interval` is at most `delta`, without a look at the other effects of the grid."""
    nearest = DELTAS[np.searchsorted(DELTAS, -delta)]
    return np.asarray(log_e_value(_negated(pairs), delta=nearest) >= _wall(LEVEL))


def _wall(level: float) -> float:
    return log(2.0 / (1.0 - level))


def _negated(pairs: Tally) -> Tally:
    """The counts of -X."""
    return Tally(pairs.down, pairs.same, pairs.up)


def _low_end(pairs: Tally, wall: float) -> np.ndarray:
    """By bisection, because W falls in delta; `low` counts the effects that are rejected for certain."""
    low = np.zeros(np.shape(pairs.up), dtype=np.int64)
    high = np.full_like(low, len(DELTAS) - 1)
    while (low < high).any():
        middle = (low + high) // 2
        rejected = log_e_value(pairs, delta=DELTAS[middle]) >= wall
        low, high = np.where(rejected, middle + 1, low), np.where(rejected, high, middle)
    return np.asarray(np.append(-1.0, DELTAS)[low])


def _at(path: np.ndarray, place: np.ndarray) -> np.ndarray:
    return np.take_along_axis(path, place[..., None], axis=-1)[..., 0]
