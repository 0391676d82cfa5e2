import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbehav.distance.text import MOST_IDS, text_differs, token_edit

ids = st.integers(0, 4).map(lambda code: [0, 7, 0xD800, 0xDFFF, MOST_IDS - 1][code])
answers = st.lists(st.tuples(st.lists(ids, max_size=8), st.lists(ids, max_size=8)), min_size=1, max_size=8)


def slow_edit(a: list[int], b: list[int]) -> float:
    """Wagner and Fischer's table, one cell at a time."""
    table = {(row, 0): row for row in range(len(a) + 1)} | {(0, column): column for column in range(len(b) + 1)}
    for row in range(1, len(a) + 1):
        for column in range(1, len(b) + 1):
            table[row, column] = min(
                table[row - 1, column] + 1,
                table[row, column - 1] + 1,
                table[row - 1, column - 1] + (a[row - 1] != b[column - 1]),
            )
    return table[len(a), len(b)] / max(len(a), len(b), 1)


def edit(pairs: list[tuple[list[int], list[int]]]) -> np.ndarray:
    sides = list(zip(*pairs, strict=True))
    flat = [np.array([code for answer in side for code in answer], dtype=np.int32) for side in sides]
    offsets = [np.cumsum([0, *map(len, side)]) for side in sides]
    return token_edit(*flat, candidate_offsets_N1=offsets[0], trusted_offsets_N1=offsets[1])


@given(answers)
def test_the_token_edit_is_the_slow_one_also_around_the_surrogates(pairs: list[tuple[list[int], list[int]]]) -> None:
    np.testing.assert_allclose(edit(pairs), [slow_edit(a, b) for a, b in pairs], atol=1e-12)


def test_equal_answers_are_at_zero_empty_ones_included_and_disjoint_ones_at_one() -> None:
    np.testing.assert_array_equal(edit([([1, 2], [1, 2]), ([], []), ([1, 2], [3]), ([], [4])]), [0, 0, 1, 1])


def test_ids_that_have_no_character_and_unpaired_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="they must lie in"):
        edit([([MOST_IDS], [1])])
    one, two = np.array([0, 1]), np.array([0, 1, 1])
    with pytest.raises(ValueError, match="1 candidate and 2 trusted answers"):
        token_edit(np.array([1]), np.array([1]), candidate_offsets_N1=one, trusted_offsets_N1=two)


def test_texts_that_are_not_the_same_string_differ() -> None:
    np.testing.assert_array_equal(text_differs(np.array(["a", "", "b "]), np.array(["a", "", "b"])), [0.0, 0.0, 1.0])
