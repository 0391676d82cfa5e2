import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbehav.stats.ebh import ebh, elond

E_VALUES = st.lists(
    st.one_of(st.floats(0, 2000), st.sampled_from([0.0, 20.0, 40.0, 100.0, 400.0, np.inf])), max_size=30
)
LEVELS = st.sampled_from([0.05, 0.1, 0.2])


def slow_ebh(e_values: list[float], level: float) -> list[bool]:
    """By the definition: try every number of rejections, from all to none."""
    hypotheses = len(e_values)
    by_size = sorted(range(hypotheses), key=lambda place: -e_values[place])
    for k in range(hypotheses, 0, -1):
        if e_values[by_size[k - 1]] >= hypotheses / (level * k):
            return [place in by_size[:k] for place in range(hypotheses)]
    return [False] * hypotheses


def slow_elond(e_values: list[float], level: float) -> list[bool]:
    decisions: list[bool] = []
    for t, e in enumerate(e_values, start=1):
        decisions.append(e >= 1 / (level * (1 / (t * (t + 1))) * (sum(decisions) + 1)))
    return decisions


@settings(deadline=None)
@given(E_VALUES, LEVELS)
def test_ebh_rejects_what_its_definition_says(e_values: list[float], level: float) -> None:
    assert ebh(e_values, level=level).tolist() == slow_ebh(e_values, level)


@settings(deadline=None)
@given(E_VALUES, LEVELS)
def test_elond_rejects_what_its_definition_says(e_values: list[float], level: float) -> None:
    assert elond(e_values, level=level).tolist() == slow_elond(e_values, level)


@settings(deadline=None)
@given(st.lists(st.floats(0, 2000), max_size=30), LEVELS)
def test_ebh_and_elond_agree_with_online_fdr(e_values: list[float], level: float) -> None:
    oracle = pytest.importorskip("online_fdr.e_values")

    class Gamma:
        def calc_gamma(self, j: int, **_: float) -> float:
            return 1 / (j * (j + 1))

    assert ebh(e_values, level=level).tolist() == oracle.e_bh(e_values, alpha=level)
    stream = oracle.ELond(alpha=level, gamma_seq=Gamma())
    assert elond(e_values, level=level).tolist() == [stream.test_one(e) for e in e_values]


@settings(deadline=None)
@given(E_VALUES, LEVELS, st.integers(0, 2**32))
def test_the_order_of_the_rules_does_not_matter_to_ebh(e_values: list[float], level: float, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(e_values))
    shuffled = np.array(e_values)[order]
    np.testing.assert_array_equal(ebh(shuffled, level=level), ebh(e_values, level=level)[order])


@settings(deadline=None)
@given(E_VALUES, st.lists(st.floats(0, 2000), max_size=5))
def test_later_rules_do_not_change_the_decisions_of_elond(e_values: list[float], later: list[float]) -> None:
    grown = elond(e_values + later, level=0.05)
    np.testing.assert_array_equal(grown[: len(e_values)], elond(e_values, level=0.05))


def test_one_rule_stopped_at_400_survives_alone_among_twenty() -> None:
    assert ebh([400.0] + [0.0] * 19, level=0.05).tolist() == [True] + [False] * 19
    assert not ebh([400.0] + [0.0] * 20, level=0.05).any()


def test_rules_help_one_another() -> None:
    assert ebh([60.0, 30.0, 25.0], level=0.05).all()
    assert ebh([60.0, 30.0, 1.0], level=0.05).tolist() == [True, True, False]
    assert not ebh([59.0, 1.0, 1.0], level=0.05).any()


def test_a_rule_that_was_not_tested_is_not_rejected_and_counts() -> None:
    assert ebh([39.0], level=0.05).tolist() == [True]
    assert ebh([39.0, np.nan], level=0.05).tolist() == [False, False]
    assert ebh([np.nan, 41.0], level=0.05).tolist() == [False, True]
    assert elond([np.nan, 119.0, 121.0], level=0.05).tolist() == [False, False, False]
    assert elond([np.nan, 121.0, 121.0], level=0.05).tolist() == [False, True, True]


@pytest.mark.parametrize("real", [0, 10])
def test_the_false_share_keeps_its_level_when_all_true_nulls_ride_on_one_lucky_draw(real: int) -> None:
    rng = np.random.default_rng(0)
    share = []
    for lucky in rng.random(4000) < 1 / 20:
        rejected = ebh(np.append(np.full(40, 20.0 * lucky), np.full(real, 1e4)), level=0.05)
        share.append(rejected[:40].sum() / max(rejected.sum(), 1))
    assert np.mean(share) <= 0.05 + 3 * np.std(share) / np.sqrt(4000)
    assert np.mean(share) > 0.03
