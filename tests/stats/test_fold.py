import numpy as np
from scipy.special import ndtri

from diffbehav.stats.fold import fold


def test_the_largest_normal_score_and_its_channel_are_kept() -> None:
    folded = fold(np.array([[1.0, 2.0, 3.0, 4.0], [0.0, 9.0, 0.0, -1.0]]))
    np.testing.assert_allclose(folded.score_C, [0.0, ndtri(0.875), ndtri(0.625), ndtri(0.875)], atol=1e-12)
    np.testing.assert_array_equal(folded.channel_C, [1, 1, 0, 0])


def test_equal_models_get_zero_everywhere_and_no_channel() -> None:
    folded = fold(np.zeros((3, 50)))
    np.testing.assert_array_equal(folded.score_C, np.zeros(50))
    np.testing.assert_array_equal(folded.channel_C, np.full(50, -1))


def test_a_constant_channel_does_not_lift_the_lower_half_of_another() -> None:
    values = np.arange(10.0)
    with_constant = fold(np.array([np.zeros(10), values]))
    np.testing.assert_array_equal(with_constant.score_C, fold(values[None]).score_C)
    np.testing.assert_array_equal(with_constant.channel_C, np.ones(10))


def test_missing_channels_are_passed_over_and_all_missing_is_missing() -> None:
    nan = np.nan
    folded = fold(np.array([[nan, 1.0, 2.0, nan], [5.0, nan, 6.0, nan], [0.0, 0.0, 0.0, nan]]))
    np.testing.assert_allclose(folded.score_C, [ndtri(0.25), ndtri(0.25), ndtri(0.75), nan])
    np.testing.assert_array_equal(folded.channel_C, [1, 0, 0, -1])


def test_only_a_constant_channel_measured_is_no_evidence_and_not_missing() -> None:
    folded = fold(np.array([[1.0, 2.0, np.nan], [0.0, 0.0, 0.0]]))
    assert folded.score_C[2] == 0.0
    assert folded.channel_C[2] == -1


def test_ties_share_one_score_and_the_unit_of_a_channel_does_not_matter() -> None:
    values = np.array([0.0, 0.0, 0.0, 3.0, 7.0])
    score = fold(values[None]).score_C
    assert len(set(score[:3])) == 1
    np.testing.assert_array_equal(score, fold(np.expm1(values)[None]).score_C)
