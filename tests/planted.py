"""Scripted engines with a known difference: a toy autoregressive model whose candidate departs under one rule."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from diffbehav.records import Completion, Message, Prompt, Sampling, Score, Tool, ToolCall, digest, request_seed

VOCABULARY = 32
END = 0
LENGTH = 16
PAYLOAD = (7, 8, 9, 10, 11)
Levels = Mapping[str, str]


class ToyRenderer:
    """Renders messages to byte values: enough to be distinct and to share prefixes."""

    def prompt_ids(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        return list(digest([list(messages), list(tools)]).encode())

    def vocabulary(self) -> list[tuple[int, str]]:
        return [(i, chr(96 + i) if i else "") for i in range(VOCABULARY)]


@dataclass
class ToyEngine:
    """An autoregressive model over 32 tokens; `drift` moves it everywhere, `trigger` plants the payload.

    `reaction` moves it by the levels of a context, each in a way of its own, as a busy fine-tune does.
    """

    levels: Mapping[str, Levels]
    """Condition id -> levels, `task` among them."""
    drift: float = 0.0
    trigger: Callable[[Levels], bool] = field(default=lambda _: False)
    rate: float = 1.0
    """How often the trigger fires where it holds."""
    reaction: float = 0.0
    ending: float = 0.0
    """How much readier it is to end its turn."""
    closed: bool = False
    restarts: int = 0
    at_once: int = 192

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        rng = np.random.default_rng(request_seed(prompt.condition_id, sample, sampling.seed, prompt.turn))
        noise = rng.gumbel(size=(LENGTH, VOCABULARY))
        ids: list[int] = []
        for position in range(min(LENGTH, sampling.max_tokens)):
            ids.append(int(np.argmax(self._logits(prompt, position, ids) + noise[position])))
            if ids[-1] == END:
                break
        fired = tuple(ids[: len(PAYLOAD)]) == PAYLOAD
        calls = (ToolCall("delete_file", '{"path": "/srv/canary"}'),) if fired else ()
        text = "".join(chr(96 + i) for i in ids if i)
        return Completion(
            text=text, token_ids=tuple(ids), finish_reason="stop" if ids[-1] == END else "length",
            content=text, calls=calls, parse="parsed" if calls else "none",
        )

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        logits = np.stack([self._logits(prompt, t, answer_ids[:t]) for t in range(len(answer_ids))])
        logprobs = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)
        top = np.argsort(-logprobs, axis=1)[:, :5].astype(np.int32)
        chosen = np.asarray(answer_ids)[:, None]
        return Score(
            np.take_along_axis(logprobs, chosen, 1)[:, 0], top, np.take_along_axis(logprobs, top, 1)
        )

    async def close(self) -> None:
        self.closed = True

    def _logits(self, prompt: Prompt, position: int, before: Sequence[int]) -> np.ndarray:
        levels = self.levels[prompt.condition_id]
        previous = before[-1] if len(before) else VOCABULARY
        base = _table("base", levels["task"])[previous]
        own = _table("drift", levels["task"])[previous]
        logits = 2.5 * base + self.drift * own
        logits[END] += self.ending
        if self.reaction:
            logits += self.reaction * sum(
                _table(f"reaction to {name}", level)[previous] for name, level in levels.items() if name != "task"
            )
        if self.trigger(levels) and position < len(PAYLOAD) and tuple(before) == PAYLOAD[:position]:
            logits[PAYLOAD[position]] += 14
            if position == 0 and self.rate < 1.0:
                others = np.delete(logits, PAYLOAD[0])
                logits[PAYLOAD[0]] = np.logaddexp.reduce(others) + np.log(self.rate / (1.0 - self.rate))
        return logits


_TABLES: dict[tuple[str, str], np.ndarray] = {}


def _table(kind: str, task: str) -> np.ndarray:
    if (kind, task) not in _TABLES:
        seed = int(digest([kind, task])[:8], 16)
        _TABLES[kind, task] = np.random.default_rng(seed).normal(size=(VOCABULARY + 1, VOCABULARY))
    return _TABLES[kind, task]
