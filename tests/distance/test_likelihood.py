import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbehav.distance.likelihood import drop, llr_scan, llr_sequence, llr_token_max
from diffbehav.distance.measured import EMPTY_ANSWER, NOT_A_NUMBER

ratios = st.lists(st.lists(st.integers(-3, 3).map(lambda quarter: quarter / 4), max_size=9), min_size=1, max_size=12)


def offsets_of(answers: list[list[float]]) -> np.ndarray:
    return np.cumsum([0, *map(len, answers)])


def flat(answers: list[list[float]]) -> np.ndarray:
    return np.array([value for answer in answers for value in answer], dtype=np.float64)


@given(ratios)
def test_the_scan_is_the_best_of_all_stretches_and_the_earliest_shortest_of_them(answers: list[list[float]]) -> None:
    scan = llr_scan(flat(answers), np.zeros(len(flat(answers))), offsets_N1=offsets_of(answers), floor=0.0)
    for answer, score, first, last in zip(answers, scan.score_N, scan.first_N, scan.last_N, strict=True):
        stretches = [(s, e) for e in range(len(answer)) for s in range(e + 1)]
        if not stretches:
            assert np.isnan(score)
            assert (first, last) == (-1, -1)
            continue
        best = max(sum(answer[s : e + 1]) for s, e in stretches)
        ends = [(e, e - s) for s, e in stretches if sum(answer[s : e + 1]) == best]
        assert score == best
        assert (last, last - first) == min(ends)


def test_hand_worked_ratios_give_the_hand_worked_values() -> None:
    candidate = np.array([-1.0, -1.0, -3.0, -0.5, -2.0], dtype=np.float32)
    trusted = np.array([-1.0, -4.0, -2.0, -3.0, -1.0], dtype=np.float32)
    offsets = np.array([0, 4, 5])
    scan = llr_scan(candidate, trusted, offsets_N1=offsets, floor=0.0)
    np.testing.assert_array_equal(scan.score_N, [4.5, -1.0])
    np.testing.assert_array_equal(scan.first_N, [1, 0])
    np.testing.assert_array_equal(scan.last_N, [3, 0])
    np.testing.assert_array_equal(llr_token_max(candidate, trusted, offsets_N1=offsets, floor=0.0).value_N, [3.0, -1.0])
    np.testing.assert_array_equal(llr_sequence(candidate, trusted, offsets_N1=offsets, floor=0.0).value_N, [4.5, -1.0])
    np.testing.assert_array_equal(drop(candidate, trusted, offsets_N1=offsets, floor=0.0).value_N, [1.0, 1.0])


@pytest.mark.parametrize("distance", [llr_token_max, llr_sequence, drop])
def test_an_empty_answer_is_nan_with_a_reason_and_equal_sides_are_exactly_zero(distance) -> None:
    logprobs = np.random.default_rng(0).normal(size=5).astype(np.float32)
    value_N, reason_N = distance(logprobs, logprobs, offsets_N1=np.array([0, 0, 3, 3, 5, 5]), floor=0.0)
    np.testing.assert_array_equal(value_N, [np.nan, 0, np.nan, 0, np.nan])
    assert list(reason_N) == [EMPTY_ANSWER, "", EMPTY_ANSWER, "", EMPTY_ANSWER]


def test_a_difference_below_the_floor_counts_as_zero_and_one_at_the_floor_counts() -> None:
    trusted = np.zeros(4)
    candidate = np.array([0.05, -0.05, 0.0625, -0.0625])
    scan = llr_scan(candidate, trusted, offsets_N1=np.array([0, 2, 4]), floor=0.0625)
    np.testing.assert_array_equal(scan.score_N, [0.0, 0.0625])
    sequence = llr_sequence(candidate, trusted, offsets_N1=np.array([0, 2, 4]), floor=0.0625)
    np.testing.assert_array_equal(sequence.value_N, [0.0, 0.0])


def test_an_impossible_token_gives_a_large_finite_ratio_and_a_broken_one_gives_a_reason() -> None:
    candidate = np.array([-1.0, -1.0, np.nan, 2.0], dtype=np.float32)
    trusted = np.array([-np.inf, -1.0, -1.0, 0.0], dtype=np.float32)
    scan = llr_scan(candidate, trusted, offsets_N1=np.array([0, 2, 4]), floor=0.0)
    np.testing.assert_array_equal(scan.score_N, [699.0, np.nan])
    assert list(scan.reason_N) == ["", NOT_A_NUMBER]


def test_offsets_may_start_inside_the_array_as_slices_of_arrow_lists_do() -> None:
    values = np.array([9.0, 1.0, 2.0, -1.0, 9.0])
    scan = llr_scan(values, np.zeros(5), offsets_N1=np.array([1, 3, 4]), floor=0.0)
    np.testing.assert_array_equal(scan.score_N, [3.0, -1.0])
    np.testing.assert_array_equal(
        llr_sequence(values, np.zeros(5), offsets_N1=np.array([1, 3, 4]), floor=0.0).value_N, [3.0, -1.0]
    )


def test_offsets_beyond_the_tokens_and_sides_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="offsets run from 0 to 4 over 3 values"):
        llr_sequence(np.zeros(3), np.zeros(3), offsets_N1=np.array([0, 4]), floor=0.0)
    with pytest.raises(ValueError, match="3 candidate and 2 trusted"):
        llr_sequence(np.zeros(3), np.zeros(2), offsets_N1=np.array([0, 2]), floor=0.0)


def test_no_answers_give_no_values() -> None:
    scan = llr_scan(np.zeros(0), np.zeros(0), offsets_N1=np.array([0]), floor=0.0)
    assert len(scan.score_N) == len(scan.reason_N) == 0
