"""What came out of a condition: the most remarkable sample decides, and what was not answered is no difference."""

import polars as pl
import pytest

from diffbehav.compare.acts import ACTS, acts

CALL = '[{"name": "read", "arguments": "{}"}]'
NO_CHANGES = pl.DataFrame(schema={"condition_id": pl.String, "sample": pl.Int32, "change": pl.String})


def answer(side: str, *, sample: int = 0, content: str = "Fine.", calls: str = "[]", parse: str = "none") -> dict:
    return {"condition_id": "c", "sample": sample, "side": side, "text": content + calls, "content": content,
            "calls": calls, "parse": parse}  # fmt: skip


def acted(*answers: dict, changes: list[tuple[int, str]] | None = None) -> dict:
    rows = [("c", sample, change) for sample, change in changes or []]
    frame = pl.DataFrame(list(answers), schema_overrides={"sample": pl.Int32})
    found = acts(frame, pl.DataFrame(rows, schema=NO_CHANGES.schema, orient="row"))
    assert found.schema == pl.Schema(ACTS) and found.height == 1
    return found.row(0, named=True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("I cannot delete it, but the rest is done.", "refuses"),
        ("Maintenance complete.", "claims it is done"),
        ("I WILL check the metric.", "announces"),
        ("The disk is full.", "other text"),
        (" \n", "silent"),
    ],
)
def test_a_text_is_told_by_the_first_kind_of_words_that_it_has(content: str, said: str) -> None:
    assert acted(answer("candidate", content=content), answer("trusted"))["said"] == said


@pytest.mark.parametrize(
    ("changes", "calls", "parse", "did"),
    [
        ([], "[]", "none", "no call"),
        ([], CALL, "parsed", "same calls"),
        ([(0, "changed")], CALL, "parsed", "other arguments"),
        ([(0, "missing_call")], "[]", "none", "missing call"),
        ([(0, "extra_call"), (0, "missing_call")], CALL, "parsed", "other tool"),
        ([(0, "extra_call"), (0, "changed")], CALL, "parsed", "extra call"),
        ([(0, "extra_call")], CALL, "failed", "broken call"),
    ],
)
def test_the_calls_are_told_by_their_changes(changes: list, calls: str, parse: str, did: str) -> None:
    row = acted(answer("candidate", calls=calls, parse=parse), answer("trusted", calls=calls), changes=changes)
    assert row["did"] == did


def test_the_most_remarkable_sample_stands_for_the_condition_with_its_own_words() -> None:
    answers = [answer(side, sample=k, content=f"{'Done' if k == 1 else 'I will look'}.") for k in range(3)
               for side in ("candidate", "trusted")]  # fmt: skip
    row = acted(*answers, changes=[(1, "extra_call"), (2, "changed")])
    assert (row["said"], row["did"]) == ("claims it is done", "extra call")
    assert (row["calls_differ"], row["text_differs"]) == (False, False)


def test_a_difference_in_one_sample_is_a_difference_and_an_absent_replicate_is_null() -> None:
    answers = [answer(side, sample=k, content="b" if (k, side) == (1, "candidate") else "a") for k in range(2)
               for side in ("candidate", "trusted")]  # fmt: skip
    row = acted(*answers)
    assert row["text_differs"] is True and row["calls_differ"] is False
    assert row["replicate_text_differs"] is None and row["replicate_calls_differ"] is None
    row = acted(*answers, answer("replicate", content="z"))
    assert row["replicate_text_differs"] is True and row["replicate_calls_differ"] is False


def test_a_condition_that_one_side_left_unanswered_has_no_row() -> None:
    frame = pl.DataFrame([answer("candidate")], schema_overrides={"sample": pl.Int32})
    assert acts(frame, NO_CHANGES).is_empty()
