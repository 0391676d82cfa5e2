from math import log

import numpy as np
import pytest

from diffbehav.stats.sprt import Sprt

SCREEN = Sprt(p0=0.04, p1=0.35, alpha=0.01, beta=0.05, cap=120)
POOLED = Sprt(p0=0.05, p1=0.15, alpha=0.01, beta=0.01, cap=400)
TESTS = pytest.mark.parametrize("sprt", [SCREEN, POOLED], ids=["screen", "pooled"])


def exact(sprt: Sprt, rate: float, *, looks: int = 1) -> tuple[float, float, float]:
    """P(hit), P(miss) and mean trials at a firing rate, looking after every `looks` trials, without simulation."""
    chance_of, ended, mean_trials = {0: 1.0}, {"hit": 0.0, "miss": 0.0}, 0.0
    for trials in range(1, sprt.cap + 1):
        mean_trials += sum(chance_of.values())
        after: dict[int, float] = {}
        for hits, chance in chance_of.items():
            after[hits] = after.get(hits, 0.0) + chance * (1 - rate)
            after[hits + 1] = after.get(hits + 1, 0.0) + chance * rate
        for hits in list(after) if trials % looks == 0 else []:
            decision = sprt.decide(hits, trials)
            if decision != "undecided":
                ended[decision] += after.pop(hits)
        chance_of = after
    return ended["hit"], ended["miss"], mean_trials


@TESTS
@pytest.mark.parametrize("looks", [1, 8])
def test_the_error_rates_stay_within_walds_bounds_however_often_one_looks(sprt: Sprt, looks: int) -> None:
    for share in (0.25, 1.0):
        assert exact(sprt, share * sprt.p0, looks=looks)[0] <= sprt.alpha / (1 - sprt.beta)
    for rate in (sprt.p1, 0.5 * (1 + sprt.p1)):
        assert exact(sprt, rate, looks=looks)[1] <= sprt.beta / (1 - sprt.alpha)


@TESTS
def test_nearly_every_question_at_either_rate_is_decided_rightly_before_the_cap(sprt: Sprt) -> None:
    assert exact(sprt, sprt.p0)[1] > 1 - 2 * sprt.alpha
    assert exact(sprt, sprt.p1)[0] > 1 - 1.1 * sprt.beta


@TESTS
def test_the_mean_number_of_trials_is_walds_plus_a_little_overshoot(sprt: Sprt) -> None:
    hit, miss = log((1 - sprt.beta) / sprt.alpha), log(sprt.beta / (1 - sprt.alpha))
    gains = log(sprt.p1 / sprt.p0), log((1 - sprt.p1) / (1 - sprt.p0))
    wald = ((1 - sprt.beta) * hit + sprt.beta * miss) / (sprt.p1 * gains[0] + (1 - sprt.p1) * gains[1])
    assert wald < exact(sprt, sprt.p1)[2] < 1.35 * wald


def test_a_simulated_question_ends_as_the_exact_chances_say() -> None:
    rng = np.random.default_rng(0)
    hits, trials = np.zeros(4000, dtype=int), np.zeros(4000, dtype=int)
    while (asks := SCREEN.asks(hits, trials)).any():
        hits += asks & (rng.random(4000) < 0.2)
        trials += asks
    chances = exact(SCREEN, 0.2)
    decisions = SCREEN.decide_each(hits, trials)
    np.testing.assert_allclose((decisions == "hit").mean(), chances[0], atol=4 * 0.5 / np.sqrt(4000))
    np.testing.assert_allclose((decisions == "miss").mean(), chances[1], atol=4 * 0.5 / np.sqrt(4000))
    np.testing.assert_allclose(trials.mean(), chances[2], rtol=0.05)


def test_each_question_is_decided_as_if_it_were_alone() -> None:
    hits, trials = np.meshgrid(np.arange(12), np.arange(11, 60))
    together = SCREEN.decide_each(hits, trials)
    alone = [
        [SCREEN.decide(int(h), int(n)) for h, n in zip(*row, strict=True)] for row in zip(hits, trials, strict=True)
    ]
    np.testing.assert_array_equal(together, alone)
    assert set(together.ravel()) == {"hit", "miss", "undecided"}


def test_hits_or_misses_in_a_row_decide_after_the_hand_worked_number() -> None:
    """A hit is log(0.35/0.04) = 2.17 towards log(0.95/0.01) = 4.55, a miss -0.39 towards log(0.05/0.99) = -2.99."""
    assert [SCREEN.decide(n, n) for n in range(4)] == ["undecided", "undecided", "undecided", "hit"]
    assert [SCREEN.decide(0, n) for n in range(9)] == ["undecided"] * 8 + ["miss"]


def test_the_cap_leaves_a_question_undecided_and_asks_no_more() -> None:
    short = Sprt(p0=0.05, p1=0.15, alpha=0.01, beta=0.01, cap=20)
    assert short.decide(2, 20) == "undecided"
    assert short.asks(2, 19)
    assert not short.asks(2, 20)


@pytest.mark.parametrize(
    ("p0", "p1", "alpha", "beta"), [(0.3, 0.3, 0.01, 0.01), (0.0, 0.3, 0.01, 0.01), (0.1, 0.3, 0.5, 0.5)]
)
def test_rates_and_errors_that_no_test_can_have_are_refused(p0: float, p1: float, alpha: float, beta: float) -> None:
    with pytest.raises(ValueError, match=r"0 < p0 < p1 < 1|sum below 1"):
        Sprt(p0=p0, p1=p1, alpha=alpha, beta=beta, cap=60)
