"""An engine over the stored answers and scores of an earlier run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diffbehav.errors import InputError, IntegrityError
from diffbehav.records import Completion, Prompt, Sampling, Score, ToolCall, request_seed
from diffbehav.serve.engine import NotStored

_OPEN_PARTS = 16
_KEY = ("condition_id", "sample", "turn")
_DRAWN_BY = {"candidate": ("candidate",), "trusted": ("trusted", "replicate")}
"""The replicate is a second pass over the trusted model."""


class _Place(NamedTuple):
    path: Path
    row: int


class ReplayEngine:
    """Answers as one side of an earlier run did; NotStored where that run holds nothing."""

    def __init__(self, run_folder: Path, *, side: str) -> None:
        self._run = run_folder
        self._side = side
        self._answers: dict[tuple[str, int, int], _Place] = {}
        self._scores: dict[tuple[str, tuple[int, ...]], _Place] = {}
        self._read = lru_cache(maxsize=_OPEN_PARTS)(_read_part)
        if not self._parts("completions", side):
            raise InputError(f"{run_folder}: holds no answers of the {side} side to replay. Give a finished run.")
        self._index()

    @property
    def restarts(self) -> int:
        """None: there is no process."""
        return 0

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """The stored answer to this prompt, drawn with the seed that `sampling` asks for."""
        seed = request_seed(prompt.condition_id, sample, sampling.seed, prompt.turn)
        place = self._answers.get((prompt.key, sample, seed))
        if place is None and prompt.turn:
            raise NotStored(f"{self._run} holds no {self._side} answer to this conversation after turn {prompt.turn}")
        if place is None:
            raise NotStored(
                f"{self._run} holds no {self._side} answer {sample} to condition {prompt.condition_id} "
                f"drawn with seed {sampling.seed}"
            )
        return _completion(self._row(place))

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """The stored score of this very answer, whichever side gave it."""
        place = self._scores.get((prompt.key, tuple(answer_ids)))
        if place is None:
            raise NotStored(
                f"{self._run} holds no {self._side} score of this answer to condition {prompt.condition_id}: only the "
                "live model can score it"
            )
        return _score(self._row(place))

    async def close(self) -> None:
        """Forget the parts that are open."""
        self._read.cache_clear()

    def _index(self) -> None:
        for answered_by in ("candidate", "trusted", "replicate"):
            asked = {}
            for place, row in self._rows("completions", answered_by, [*_KEY, "seed", "token_ids", "prompt_digest"]):
                prompt = row["condition_id"] if row["turn"] == 0 else f"{row['condition_id']}/{row['prompt_digest']}"
                asked[tuple(row[name] for name in _KEY)] = prompt, tuple(row["token_ids"])
                if answered_by in _DRAWN_BY[self._side]:
                    self._answers[prompt, row["sample"], row["seed"]] = place
            folder = f"{self._side}-on-{answered_by}"
            for place, row in self._rows("scores", folder, [*_KEY, "reason"]):
                if row["reason"] is None:
                    self._scores[asked[tuple(row[name] for name in _KEY)]] = place

    def _rows(self, kind: str, name: str, columns: list[str]) -> Iterator[tuple[_Place, Mapping[str, Any]]]:
        for path in self._parts(kind, name):
            for index, row in enumerate(_read_part(path, columns=tuple(columns)).to_pylist()):
                yield _Place(path, index), row

    def _parts(self, kind: str, name: str) -> list[Path]:
        return sorted((self._run / kind / name).glob("part-*.parquet"))

    def _row(self, place: _Place) -> Mapping[str, Any]:
        return dict(self._read(place.path).slice(place.row, 1).to_pylist()[0])


def _read_part(path: Path, *, columns: tuple[str, ...] | None = None) -> pa.Table:
    try:
        return pq.read_table(path, columns=None if columns is None else list(columns))
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(f"{path}: not readable as a stored part: {error}. Collect this run again.") from error


def _completion(row: Mapping[str, Any]) -> Completion:
    return Completion(
        text=row["text"],
        token_ids=tuple(row["token_ids"]),
        finish_reason=row["finish_reason"],
        content=row["content"],
        calls=tuple(ToolCall(call["name"], call["arguments"]) for call in json.loads(row["calls"])),
        parse=row["parse"],
        parse_reason=row["parse_reason"],
    )


def _score(row: Mapping[str, Any]) -> Score:
    return Score(
        logprobs_T=np.array(row["logprobs"], dtype=np.float32),
        top_ids_TK=np.array(row["top_ids"], dtype=np.int32).reshape(-1, row["k"]),
        top_logprobs_TK=np.array(row["top_logprobs"], dtype=np.float32).reshape(-1, row["k"]),
    )
