import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbehav.distance import topk
from diffbehav.distance.measured import NOT_A_NUMBER
from diffbehav.distance.topk import TokenBounds, TopK, token_bounds

LN2 = np.log(2.0)
SYMMETRIC = ("tv", "hellinger2", "jsd")


def log_softmax(logits_MV: np.ndarray) -> np.ndarray:
    return logits_MV - np.log(np.exp(logits_MV).sum(axis=1, keepdims=True))


def top(logprobs_MV: np.ndarray, k: int, chosen_M: np.ndarray, rng: np.random.Generator) -> TopK:
    """The k largest in a shuffled order, so that nothing hangs on ranks."""
    ids = np.argsort(-logprobs_MV, axis=1, kind="stable")[:, :k].astype(np.int32)
    ids = rng.permuted(ids, axis=1)
    return TopK(
        ids,
        np.take_along_axis(logprobs_MV, ids, axis=1),
        logprobs_MV[np.arange(len(chosen_M)), chosen_M],
    )


def exact(lp_MV: np.ndarray, lq_MV: np.ndarray) -> dict[str, np.ndarray]:
    p, q = np.exp(lp_MV), np.exp(lq_MV)
    m = (p + q) / 2
    return {
        "tv": 0.5 * np.abs(p - q).sum(axis=1),
        "hellinger2": 1 - np.sqrt(p * q).sum(axis=1),
        "jsd": 0.5 * (p * np.log(p / m) + q * np.log(q / m)).sum(axis=1),
        "kl": (p * (lp_MV - lq_MV)).sum(axis=1),
    }


def world(seed: int, *, vocabulary: int, spread: float, noise: float, positions: int = 40):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=spread, size=(positions, vocabulary))
    lp = log_softmax(logits)
    lq = log_softmax(logits + rng.normal(scale=noise, size=logits.shape))
    return lp, lq, rng.integers(0, vocabulary, positions).astype(np.int32), rng


@settings(deadline=None, max_examples=80)
@given(
    st.integers(0, 10**6),
    st.integers(2, 60),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([0.1, 1.0, 4.0]),
    st.sampled_from([0.01, 0.5, 3.0]),
)
def test_the_bounds_hold_the_exact_values_over_the_full_vocabulary(
    seed: int, vocabulary: int, k_candidate: int, k_trusted: int, spread: float, noise: float
) -> None:
    lp, lq, chosen, rng = world(seed, vocabulary=vocabulary, spread=spread, noise=noise)
    bounds = token_bounds(
        top(lp, min(k_candidate, vocabulary), chosen, rng),
        top(lq, min(k_trusted, vocabulary), chosen, rng),
        chosen_M=chosen,
    )
    truth = exact(lp, lq)
    for name in SYMMETRIC:
        assert (getattr(bounds, f"{name}_lower_M") <= truth[name] + 1e-9).all()
        assert (truth[name] <= getattr(bounds, f"{name}_upper_M") + 1e-9).all()
    assert (bounds.kl_lower_M <= truth["kl"] + 1e-9).all()
    assert (bounds.kl_lower_M >= 0).all()


@given(st.integers(0, 10**6), st.integers(2, 20))
def test_with_the_whole_vocabulary_in_the_top_k_both_bounds_are_the_exact_value(seed: int, vocabulary: int) -> None:
    lp, lq, chosen, rng = world(seed, vocabulary=vocabulary, spread=1.0, noise=1.0)
    full = (top(logprobs, vocabulary, chosen, rng) for logprobs in (lp, lq))
    bounds = token_bounds(*full, chosen_M=chosen)
    truth = exact(lp, lq)
    for name in SYMMETRIC:
        np.testing.assert_allclose(getattr(bounds, f"{name}_lower_M"), truth[name], atol=1e-9)
        np.testing.assert_allclose(getattr(bounds, f"{name}_upper_M"), truth[name], atol=1e-9)
    np.testing.assert_allclose(bounds.kl_lower_M, truth["kl"], atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_sides_have_lower_bounds_of_exactly_zero_even_where_float32_sums_above_one(dtype: type) -> None:
    rng = np.random.default_rng(1)
    lp = log_softmax(rng.normal(scale=6.0, size=(5000, 20))).astype(dtype) + dtype(1e-6)
    chosen = rng.integers(0, 20, 5000).astype(np.int32)
    side = top(lp, 20, chosen, rng)
    assert (np.exp(lp).sum(axis=1) > 1).any()
    for other in (side, top(lp, 20, chosen, rng)):
        bounds = token_bounds(side, other, chosen_M=chosen)
        for name in ("tv_lower_M", "hellinger2_lower_M", "jsd_lower_M", "kl_lower_M"):
            assert (getattr(bounds, name) == 0).all(), name


@given(st.integers(0, 10**6), st.integers(1, 8))
def test_swapping_the_sides_leaves_the_symmetric_distances_unchanged(seed: int, k: int) -> None:
    lp, lq, chosen, rng = world(seed, vocabulary=12, spread=2.0, noise=2.0)
    sides = top(lp, k, chosen, rng), top(lq, k, chosen, rng)
    there = token_bounds(*sides, chosen_M=chosen)
    back = token_bounds(*sides[::-1], chosen_M=chosen)
    for name in SYMMETRIC:
        for end in ("lower_M", "upper_M"):
            np.testing.assert_allclose(getattr(there, f"{name}_{end}"), getattr(back, f"{name}_{end}"), atol=1e-12)
    np.testing.assert_allclose(there.rest_candidate_M, back.rest_trusted_M, atol=1e-12)


def one(ids: list[int], probabilities: list[float], chosen: float) -> TopK:
    return TopK(np.array([ids], dtype=np.int32), np.log(np.array([probabilities])), np.log(np.array([chosen])))


def test_hand_worked_position_with_one_shared_token_and_the_chosen_one() -> None:
    """S = {7, 5}: p = (.5, .2), rest .3; q = (.25, .25), rest .5. Tokens 8 and 9 are known on one side only."""
    bounds = token_bounds(
        one([7, 8], [0.5, 0.25], 0.2), one([9, 7], [0.4, 0.25], 0.25), chosen_M=np.array([5], dtype=np.int32)
    )
    assert bounds.rest_candidate_M == pytest.approx(0.3)
    assert bounds.rest_trusted_M == pytest.approx(0.5)
    assert bounds.tv_lower_M == pytest.approx(0.25)
    assert bounds.tv_upper_M == pytest.approx(0.55)
    kl = 0.5 * np.log(0.5 / 0.25) + 0.2 * np.log(0.2 / 0.25) + 0.3 * np.log(0.3 / 0.5)
    assert bounds.kl_lower_M == pytest.approx(kl)
    hellinger2 = 1 - (np.sqrt(0.125) + np.sqrt(0.05) + np.sqrt(0.15))
    assert bounds.hellinger2_lower_M == pytest.approx(hellinger2)
    assert bounds.hellinger2_upper_M == pytest.approx(hellinger2 + np.sqrt(0.15))


def test_the_chosen_token_counts_once_wherever_it_is_listed() -> None:
    chosen = np.array([7], dtype=np.int32)
    plain = token_bounds(one([8], [0.3], 0.5), one([8], [0.4], 0.25), chosen_M=chosen)
    listed = [
        (one([7, 8], [0.5, 0.3], 0.5), one([8], [0.4], 0.25)),
        (one([8], [0.3], 0.5), one([8, 7], [0.4, 0.25], 0.25)),
        (one([7, 8], [0.5, 0.3], 0.5), one([7, 8], [0.25, 0.4], 0.25)),
        (one([7, 7, 8], [0.5, 0.5, 0.3], 0.5), one([7, 8, 7], [0.25, 0.4, 0.25], 0.25)),
        (one([-1, 8, -1], [1.0, 0.3, 1.0], 0.5), one([-1, 8], [1.0, 0.4], 0.25)),
    ]
    for candidate, trusted in listed:
        bounds = token_bounds(candidate, trusted, chosen_M=chosen)
        np.testing.assert_allclose(np.array(bounds), np.array(plain), rtol=1e-14)


def test_disjoint_certain_sides_reach_the_upper_ends() -> None:
    side = one([3], [1.0], 1.0), one([4], [1.0], 1.0)
    impossible = [part._replace(chosen_logprobs_M=np.array([-np.inf])) for part in side]
    bounds = token_bounds(side[0], impossible[1], chosen_M=np.array([3], dtype=np.int32))
    assert bounds.tv_lower_M == pytest.approx(1.0)
    assert bounds.jsd_lower_M == pytest.approx(LN2)
    assert (bounds.tv_upper_M, bounds.jsd_upper_M) <= (1.0, LN2)
    assert np.isfinite(bounds.kl_lower_M)
    assert bounds.kl_lower_M > 100


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    lp, lq, chosen, rng = world(3, vocabulary=30, spread=2.0, noise=1.0, positions=101)
    sides = top(lp, 5, chosen, rng), top(lq, 5, chosen, rng)
    whole = token_bounds(*sides, chosen_M=chosen)
    monkeypatch.setattr(topk, "CHUNK", 7)
    np.testing.assert_array_equal(np.array(token_bounds(*sides, chosen_M=chosen)), np.array(whole))


def profile(jsd: list[float]) -> TokenBounds:
    zeros = np.zeros(len(jsd))
    return TokenBounds(*[zeros] * 9)._replace(
        jsd_lower_M=np.array(jsd), jsd_upper_M=np.array(jsd) + 0.1, kl_lower_M=np.array(jsd) * 2
    )


def test_answers_sum_the_kl_and_take_the_largest_jsd() -> None:
    bounds, offsets = profile([0.1, 0.3, 0.2, 0.0]), np.array([0, 3, 3, 4])
    kl = topk.kl_rao_blackwell_lower(bounds, offsets_N1=offsets)
    np.testing.assert_allclose(kl.value_N, [1.2, np.nan, 0.0])
    np.testing.assert_allclose(topk.jsd_max_lower(bounds, offsets_N1=offsets).value_N, [0.3, np.nan, 0.0])
    np.testing.assert_allclose(topk.jsd_max_upper(bounds, offsets_N1=offsets).value_N, [0.4, np.nan, 0.1])
    np.testing.assert_array_equal(topk.tv_max_lower(bounds, offsets_N1=offsets).value_N, [0, np.nan, 0])
    np.testing.assert_array_equal(topk.tv_max_upper(bounds, offsets_N1=offsets).value_N, [0, np.nan, 0])


def test_the_first_divergent_token_is_counted_in_its_answer_or_missing_with_a_reason() -> None:
    bounds = profile([0.0, 0.3, 0.4, 0.2, 0.2, 0.5, np.nan])
    first = topk.first_divergent_token(bounds, offsets_N1=np.array([0, 3, 5, 6, 7]), tau=0.2)
    np.testing.assert_array_equal(first.value_N, [1, np.nan, 0, np.nan])
    assert list(first.reason_N) == ["", "no position exceeds tau", "", NOT_A_NUMBER]


def test_sides_that_score_different_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="both sides must score the same tokens"):
        token_bounds(one([1], [0.5], 0.5), one([1], [0.5], 0.5), chosen_M=np.array([1, 2], dtype=np.int32))
