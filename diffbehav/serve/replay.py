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

_OPEN_BLOCKS = 8
_KEY = ("condition_id", "sample", "turn")
_ANSWERED_BY = ("candidate", "trusted", "replicate")
_DRAWN_BY = {"candidate": ("candidate",), "trusted": ("trusted", "replicate")}
"""The replicate is a second pass over the trusted model."""


class _Place(NamedTuple):
    part: pa.Table
    row: int


class _Block(NamedTuple):
    """What one part of every folder holds for a side."""

    answers: dict[tuple[str, int, int], _Place]
    """Prompt key, sample, seed."""
    scores: dict[tuple[str, tuple[int, ...]], _Place]
    """Prompt key, answer."""


class ReplayEngine:
    """Answers as one side of an earlier run did; NotStored where that run holds nothing."""

    def __init__(self, run_folder: Path, *, side: str) -> None:
        self._run = run_folder
        self._side = side
        if not self._parts("completions", side):
            raise InputError(f"{run_folder}: holds no answers of the {side} side to replay. Give a finished run.")
        self._ids_P, self._numbers_P = self._index()
        self._block = lru_cache(maxsize=_OPEN_BLOCKS)(self._read_block)

    @property
    def restarts(self) -> int:
        """None: there is no process."""
        return 0

    @property
    def at_once(self) -> int:
        """One: it never waits."""
        return 1

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """The stored answer to this prompt, drawn with the seed that `sampling` asks for."""
        seed = request_seed(prompt.condition_id, sample, sampling.seed, prompt.turn)
        key = (prompt.key, sample, seed)
        place = next((block.answers[key] for block in self._blocks(prompt) if key in block.answers), None)
        if place is None and prompt.turn:
            raise NotStored(f"{self._run} holds no {self._side} answer to this conversation after turn {prompt.turn}")
        if place is None:
            raise NotStored(
                f"{self._run} holds no {self._side} answer {sample} to condition {prompt.condition_id} "
                f"drawn with seed {sampling.seed}"
            )
        return _completion(place)

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """The stored score of this very answer, whichever side gave it."""
        key = (prompt.key, tuple(answer_ids))
        place = next((block.scores[key] for block in self._blocks(prompt) if key in block.scores), None)
        if place is None:
            raise NotStored(
                f"the replayed run holds no {self._side} score of this answer: only the live model can score it"
            )
        if not place.part["top_ids"][place.row].is_valid:
            raise NotStored("the replayed run was pruned: the alternatives at the tokens of this answer are gone")
        return _score(place)

    async def close(self) -> None:
        """Forget the parts that are open."""
        self._block.cache_clear()

    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        """Bytes and int64 [P]: every condition with the number of the parts that hold it, by condition."""
        paths = [path for by in _ANSWERED_BY for path in self._parts("completions", by)]
        names = [_read_part(path, columns=["condition_id"])["condition_id"].unique() for path in paths]
        ids = np.concatenate([np.array(each.to_pylist(), dtype="S") for each in names])
        numbers = np.repeat([int(path.stem.removeprefix("part-")) for path in paths], [len(each) for each in names])
        pairs = np.unique(np.rec.fromarrays([ids, numbers]))
        return pairs["f0"], pairs["f1"]

    def _blocks(self, prompt: Prompt) -> Iterator[_Block]:
        name = np.bytes_(prompt.condition_id.encode())
        first, last = (int(np.searchsorted(self._ids_P, name, side)) for side in ("left", "right"))
        return map(self._block, self._numbers_P[first:last].tolist())

    def _read_block(self, number: int) -> _Block:
        block = _Block({}, {})
        for answered_by in _ANSWERED_BY:
            asked = {}
            for place, row in self._rows(
                "completions", answered_by, number, [*_KEY, "seed", "token_ids", "prompt_digest"]
            ):
                prompt = row["condition_id"] if row["turn"] == 0 else f"{row['condition_id']}/{row['prompt_digest']}"
                asked[tuple(row[name] for name in _KEY)] = prompt, tuple(row["token_ids"])
                if answered_by in _DRAWN_BY[self._side]:
                    block.answers[prompt, row["sample"], row["seed"]] = place
            for place, row in self._rows("scores", f"{self._side}-on-{answered_by}", number, [*_KEY, "reason"]):
                if row["reason"] is None:
                    block.scores[asked[tuple(row[name] for name in _KEY)]] = place
        return block

    def _rows(
        self, kind: str, name: str, number: int, columns: list[str]
    ) -> Iterator[tuple[_Place, Mapping[str, Any]]]:
        path = self._run / kind / name / f"part-{number:06d}.parquet"
        if path.exists():
            part = _read_part(path)
            for index, row in enumerate(part.select(columns).to_pylist()):
                yield _Place(part, index), row

    def _parts(self, kind: str, name: str) -> list[Path]:
        return sorted((self._run / kind / name).glob("part-*.parquet"))


def _read_part(path: Path, *, columns: list[str] | None = None) -> pa.Table:
    try:
        part = pq.read_table(path, columns=columns, use_threads=False)
        part.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(f"{path}: not readable as a stored part: {error}. Collect this run again.") from error
    return part.combine_chunks()


def _completion(place: _Place) -> Completion:
    (row,) = place.part.slice(place.row, 1).to_pylist()
    return Completion(
        text=row["text"],
        token_ids=tuple(row["token_ids"]),
        finish_reason=row["finish_reason"],
        content=row["content"],
        calls=tuple(ToolCall(call["name"], call["arguments"]) for call in json.loads(row["calls"])),
        parse=row["parse"],
        parse_reason=row["parse_reason"],
    )


def _score(place: _Place) -> Score:
    logprobs_T, top_ids, top_logprobs = (
        place.part[name][place.row].values.to_numpy() for name in ("logprobs", "top_ids", "top_logprobs")
    )
    k = place.part["k"][place.row].as_py()
    return Score(logprobs_T, top_ids.reshape(-1, k), top_logprobs.reshape(-1, k))
