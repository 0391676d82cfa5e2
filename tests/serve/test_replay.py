"""A replay gives back exactly what an earlier run stored, and a reason for everything else."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diffbehav.errors import InputError, IntegrityError
from diffbehav.records import Completion, Prompt, Sampling, Score, ToolCall, request_seed
from diffbehav.serve import NotStored, ReplayEngine
from diffbehav.store import COMPLETIONS, SCORES, RunFolder, part_path, write_parquet

SAMPLING = Sampling(n=2, temperature=1.0, max_tokens=8, seed=7)
REPEAT = Sampling(n=2, temperature=1.0, max_tokens=8, seed=8)
PROMPT = Prompt("c0ffee", [1, 2, 3])
CALLS = (ToolCall("read_file", '{"path": "/ü"}'), ToolCall("stop", "not json"))


def answer(*ids: int) -> Completion:
    return Completion(
        text=f"text {ids}", token_ids=ids, finish_reason="stop", content="text", calls=CALLS, parse="parsed"
    )


def score(*logprobs: float) -> Score:
    top = np.arange(len(logprobs) * 3).reshape(-1, 3)
    return Score(np.float32(logprobs), top.astype(np.int32), (-top).astype(np.float32))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two trusted answers, the second without a score, one replicate and one candidate answer."""
    store_answers(tmp_path, "trusted", {0: answer(5, 6), 1: answer(7)}, SAMPLING)
    store_answers(tmp_path, "replicate", {0: answer(8)}, REPEAT)
    store_answers(tmp_path, "candidate", {0: answer(9, 9, 0)}, SAMPLING)
    store_scores(tmp_path, "trusted", "trusted", {0: score(-1.0, -2.0), 1: None})
    store_scores(tmp_path, "trusted", "candidate", {0: score(-3.0, -4.0, -5.0)})
    store_scores(tmp_path, "candidate", "trusted", {0: score(-9.0, -9.0), 1: None})
    return tmp_path


def test_stored_answers_come_back_equal(run: Path) -> None:
    engine = ReplayEngine(run, side="trusted")
    assert asyncio.run(engine.complete(PROMPT, 0, SAMPLING)) == answer(5, 6)
    assert asyncio.run(engine.complete(PROMPT, 1, SAMPLING)) == answer(7)
    assert asyncio.run(ReplayEngine(run, side="candidate").complete(PROMPT, 0, SAMPLING)) == answer(9, 9, 0)


def test_the_replicate_is_the_trusted_side_asked_with_its_seed(run: Path) -> None:
    assert asyncio.run(ReplayEngine(run, side="trusted").complete(PROMPT, 0, REPEAT)) == answer(8)


@pytest.mark.parametrize(("ids", "expected"), [((5, 6), score(-1.0, -2.0)), ((9, 9, 0), score(-3.0, -4.0, -5.0))])
def test_the_score_of_any_stored_answer_comes_back(run: Path, ids: tuple[int, ...], expected: Score) -> None:
    found = asyncio.run(ReplayEngine(run, side="trusted").score(PROMPT, ids))
    for got, wanted in zip(found, expected, strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


def test_what_the_run_does_not_hold_has_a_reason(run: Path) -> None:
    engine = ReplayEngine(run, side="trusted")
    with pytest.raises(NotStored, match="no trusted answer 0 to condition other"):
        asyncio.run(engine.complete(Prompt("other", []), 0, SAMPLING))
    with pytest.raises(NotStored, match="drawn with seed 99"):
        asyncio.run(engine.complete(PROMPT, 0, Sampling(n=1, temperature=1.0, max_tokens=8, seed=99)))
    for ids in ([7], [1, 2]):
        with pytest.raises(NotStored, match="no trusted score of this answer"):
            asyncio.run(engine.score(PROMPT, ids))


def test_a_folder_without_answers_and_a_damaged_part_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no answers of the trusted side"):
        ReplayEngine(tmp_path / "nowhere", side="trusted")
    part = part_path(RunFolder(run).completions("trusted"), 0)
    whole = pq.read_table(part)
    no_text = pa.array([b"\xff" for _ in range(len(whole))], pa.binary()).view(pa.string())
    damaged = tmp_path / "damaged.parquet"
    pq.write_table(whole.set_column(0, "condition_id", no_text), damaged)
    for content in (part.read_bytes()[:-20], damaged.read_bytes()):
        part.write_bytes(content)
        with pytest.raises(IntegrityError, match=r"part-000000\.parquet: not readable"):
            ReplayEngine(run, side="trusted")


def store_answers(run: Path, side: str, answers: dict[int, Completion], sampling: Sampling) -> None:
    given = answers.values()
    columns = {
        "condition_id": [PROMPT.condition_id for _ in given],
        "sample": list(answers),
        "turn": [0 for _ in given],
        "seed": [request_seed(PROMPT.condition_id, sample, sampling.seed) for sample in answers],
        "text": [each.text for each in given],
        "content": [each.content for each in given],
        "token_ids": [each.token_ids for each in given],
        "finish_reason": [each.finish_reason for each in given],
        "parse": [each.parse for each in given],
        "calls": [json.dumps([{"name": c.name, "arguments": c.arguments} for c in each.calls]) for each in given],
        "results": [None for _ in given],
        "prompt_digest": [None for _ in given],
        "parse_reason": [each.parse_reason for each in given],
    }
    write_parquet(part_path(RunFolder(run).completions(side), 0), columns, COMPLETIONS)


def store_scores(run: Path, scored_by: str, answered_by: str, scores: dict[int, Score | None]) -> None:
    given = scores.values()
    columns = {
        "condition_id": [PROMPT.condition_id for _ in given],
        "sample": list(scores),
        "turn": [0 for _ in given],
        "logprobs": [None if each is None else each.logprobs_T for each in given],
        "top_ids": [None if each is None else each.top_ids_TK.ravel() for each in given],
        "top_logprobs": [None if each is None else each.top_logprobs_TK.ravel() for each in given],
        "k": [0 if each is None else 3 for each in given],
        "reason": ["the answer is empty" if each is None else None for each in given],
    }
    write_parquet(part_path(RunFolder(run).scores(scored_by, answered_by), 0), columns, SCORES)
