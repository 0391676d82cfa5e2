"""The distance `mismatch` from stored answers and scores."""

import math

import numpy as np
import polars as pl

from diffbehav.compare.load import Batch
from diffbehav.compare.mismatch import NO_TEXT, mismatched, token_bytes
from diffbehav.compare.outputs import UNPARSED

WORDS = ["", "I read. ", "Ü ", "<call>read", "<call>rm", "<|end|>"]
END = 5
VOCABULARY = pl.DataFrame({"token_id": [5, 1, 2, 3, 4], "text": [WORDS[i] for i in (5, 1, 2, 3, 4)]})
Answer = tuple[list[int], list[float] | None]
"""Token ids with the end of the turn, and the trusted model's log-probability of each."""


def batch(candidate: dict[str, Answer], trusted: dict[str, Answer], *, failed: str = "") -> Batch:
    rows, frames = [], {}
    for side, answers in (("candidate", candidate), ("trusted", trusted)):
        for name, (ids, _) in answers.items():
            text = "".join(WORDS[i] for i in ids if i != END)
            content = text.split("<call>")[0]
            parse = "failed" if name == failed else "parsed"
            rows.append((name, 0, 0, side, text, content, ids, "stop", parse))
        frames[side] = pl.DataFrame(
            [(name, 0, 0, *answer, None if answer[1] else "no score") for name, answer in answers.items()],
            schema={
                "condition_id": pl.String, "sample": pl.Int32, "turn": pl.Int32, "token_ids": pl.List(pl.Int32),
                "logprobs_trusted": pl.List(pl.Float32), "reason_trusted": pl.String,
            },
            orient="row",
        )  # fmt: skip
    columns = ["condition_id", "sample", "turn", "side", "text", "content", "token_ids", "finish_reason", "parse"]
    completions = pl.DataFrame(rows, schema=columns, orient="row").with_columns(pl.col("sample", "turn").cast(pl.Int32))
    return Batch([0], completions, frames["candidate"], frames["trusted"], None)


def measured(given: Batch) -> dict[str, tuple[float, str]]:
    found = mismatched(given, token_bytes(VOCABULARY))
    values = found.values["mismatch"]
    return {name: (v, r) for name, v, r in zip(found.keys["condition_id"], *values, strict=True)}


def test_the_trusted_models_odds_of_its_own_calls_against_those_behind_the_text() -> None:
    own = ([1, 2, 3, END], [-0.5, -0.25, -1.0, -0.1])
    extra = ([1, 2, 3, 4, END], [-0.5, -0.25, -1.0, -9.0, -0.1])
    other_text = ([2, 1, 3, END], [-7.0, -7.0, -2.0, -0.3])
    found = measured(batch({"a": extra, "b": own, "c": other_text}, {"c": own, "a": own, "b": own}))
    np.testing.assert_allclose([found[name][0] for name in "abc"], [9.0, 0.0, 2.3 - 1.1], atol=1e-6)


def test_what_cannot_be_compared_has_a_reason() -> None:
    good, silent, unscored = ([1, END], [-1.0, -1.0]), ([3, END], [-1.0, -1.0]), ([1, END], None)
    found = measured(
        batch(
            {"silent": silent, "broken": good, "unscored": unscored, "other": good},
            {"silent": good, "broken": good, "unscored": good, "other": unscored},
            failed="broken",
        )
    )
    assert {name: reason for name, (_, reason) in found.items()} == {
        "silent": NO_TEXT, "broken": UNPARSED, "unscored": "no score", "other": "no score",
    }  # fmt: skip
    assert all(math.isnan(value) for value, _ in found.values())


def test_a_token_beyond_the_vocabulary_is_no_text() -> None:
    padded = len(WORDS) + 100
    own = ([1, 3, END], [-0.5, -1.0, -0.1])
    strange = ([1, 3, padded, END], [-0.5, -1.0, -4.0, -0.1])
    given = batch({"a": own}, {"a": own})
    ids = given.completions["token_ids"].to_list()
    changed = given.on_candidate.with_columns(
        token_ids=pl.Series([strange[0]]), logprobs_trusted=pl.Series([strange[1]], dtype=pl.List(pl.Float32))
    )
    assert ids[0] == own[0]
    found = measured(given._replace(on_candidate=changed))
    assert found["a"] == (4.0, "")
