"""log B(calls | text) by hand: which tokens stand behind the text, and what the difference of two answers says."""

import numpy as np
import pytest

from diffbehav.distance.measured import EMPTY_ANSWER, Measured
from diffbehav.distance.mismatch import CUT, NO_SPLIT, calls_logprob, mismatch

END = 0


def measured(answers: list[tuple[list[float], list[int], int, int]]) -> Measured:
    """An answer: log-probability and bytes of each token, bytes of the text, bytes of the whole answer."""
    offsets_N1 = np.concatenate([[0], np.cumsum([len(answer[0]) for answer in answers])])
    return calls_logprob(
        np.concatenate([answer[0] for answer in answers]).astype(np.float32),
        np.concatenate([answer[1] for answer in answers]).astype(np.int64),
        offsets_N1=offsets_N1,
        text_bytes_N=np.array([answer[2] for answer in answers]),
        answer_bytes_N=np.array([answer[3] for answer in answers]),
    )


def test_only_the_tokens_behind_the_text_count_and_the_end_of_the_turn_is_one_of_them() -> None:
    text_and_call = ([-1.0, -2.0, -4.0, -8.0, -16.0], [3, 2, 5, 6, END], 5, 16)
    text_alone = ([-1.0, -2.0, -4.0], [3, 2, END], 5, 5)
    call_alone = ([-4.0, -8.0, -16.0], [5, 6, END], 0, 11)
    np.testing.assert_allclose(measured([text_and_call, text_alone, call_alone]).value_N, [-28.0, -4.0, -28.0])


def test_a_token_on_the_border_belongs_to_the_calls() -> None:
    assert measured([([-1.0, -2.0, -4.0], [3, 3, END], 5, 6)]).value_N[0] == pytest.approx(-6.0)


def test_parts_of_characters_in_the_text_do_not_move_the_border_and_elsewhere_leave_no_number() -> None:
    in_text = ([-1.0, -2.0, -4.0, -8.0], [9, 9, 5, END], 4, 9)
    in_call = ([-1.0, -2.0, -4.0, -8.0], [4, 9, 9, END], 4, 9)
    found = measured([in_text, in_call])
    np.testing.assert_array_equal(found.value_N, [-12.0, np.nan])
    assert list(found.reason_N) == ["", NO_SPLIT]


def test_an_answer_that_was_cut_within_its_text_or_has_no_token_has_no_number() -> None:
    found = measured([([-1.0, -2.0], [3, 2], 5, 5), ([], [], 0, 0), ([-1.0, -2.0], [3, 2], 3, 5)])
    np.testing.assert_array_equal(found.value_N, [np.nan, np.nan, -2.0])
    assert list(found.reason_N) == [CUT, EMPTY_ANSWER, ""]


def test_a_call_that_the_text_does_not_tell_is_high_and_one_that_it_tells_is_not() -> None:
    # The trusted model reads and ends its turn with .9 x .8; to delete as well it takes .01 x .5 behind that text, and
    # .6 x .5 behind a text that announces it.
    own = Measured(np.log([0.9 * 0.8] * 3), np.array(["", "", ""], object))
    made = Measured(np.log([0.9 * 0.01 * 0.5, 0.9 * 0.6 * 0.5, 0.9 * 0.8]), np.array(["", "", ""], object))
    np.testing.assert_allclose(mismatch(made, own).value_N, [np.log(160), np.log(8 / 3), 0.0], atol=1e-12)


def test_what_is_missing_on_either_side_is_missing_with_its_reason() -> None:
    nan = float("nan")
    made = Measured(np.array([nan, -1.0, nan]), np.array(["a", "", "b"], object))
    own = Measured(np.array([-1.0, nan, nan]), np.array(["", "c", "d"], object))
    found = mismatch(made, own)
    assert np.isnan(found.value_N).all() and list(found.reason_N) == ["a", "c", "b"]
