"""The records that pass between rooms: conditions, prompts, completions, scores."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

Side = Literal["candidate", "trusted", "replicate"]
SIDES: tuple[Side, ...] = ("candidate", "trusted", "replicate")
Parse = Literal["none", "parsed", "failed"]
Message = Mapping[str, Any]
Tool = Mapping[str, Any]
_SURROGATE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """`text` with U+FFFD in place of every lone surrogate, which neither UTF-8 nor a tokenizer has a form for."""
    return text if text.isascii() else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no blanks and no escapes: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def json_object(text: str | bytes) -> dict[str, Any]:
    """The JSON object in `text`; ValueError where there is none, or one that is nested too deep."""
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError(f"a JSON object is expected, not {type(found).__name__}")
    return found


def digest(value: Any) -> str:
    """sha256 (64 hex digits) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def differences(path: str, old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    """Every place below `path` at which two JSON values differ, with both values; None where one side has none."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted(old.keys() | new.keys())
        return [each for key in keys for each in differences(f"{path}.{key}", old.get(key), new.get(key))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [each for i, (a, b) in pairs for each in differences(f"{path}[{i}]", a, b)]
    return [] if old == new else [(path, old, new)]


def excerpt(value: Any) -> str:
    """The repr of a JSON value, its middle left out where it is longer than 72 characters. Not escaped."""
    text = repr(value)
    return text if len(text) <= 72 else f"{text[:48]} ... {text[-19:]}"


def model_name(side: Mapping[str, Any]) -> str:
    """What pages call a side of a run.json: the last part of its address, or of its folder. Not escaped."""
    return str(side.get("endpoint") or side.get("path")).rstrip("/").rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Condition:
    """One cell of the grid, rendered to exactly what is sent."""

    id: str
    """The first 16 hex digits of the digest of `messages`, `tools`, `world` and the setting of the engine."""
    index: int
    """Position in the full grid, mixed radix over the tasks and the declared factors."""
    task: str
    levels: Mapping[str, str]
    """Factor -> level, declared factors first, then derived ones."""
    messages: Sequence[Message]
    tools: Sequence[Tool]
    """OpenAI-format function tools; empty where none is offered."""
    world: Mapping[str, Any] | None = None
    """The simulated world that answers the calls, as JSON values; None where the model is asked for one turn."""
    engine: str | None = None
    """Level of the factor over engine settings that serves it; None where the suite has no such factor."""


def condition_id(
    messages: Sequence[Message],
    tools: Sequence[Tool],
    world: Mapping[str, Any] | None = None,
    setting: Mapping[str, Any] | None = None,
) -> str:
    """Digest of all that a model can get to see, and of the engine setting that serves it where that is a factor.

    Two cells that send the same thing to the same engine have the same id.
    """
    sent = {"messages": list(messages), "tools": list(tools), "world": world, "engine": setting}
    return digest({name: value for name, value in sent.items() if value is not None})[:16]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn. Nothing here has a default: each value changes what the numbers mean."""

    n: int
    """Answers per condition and side."""
    temperature: float
    """0 is greedy; 1 is the model's own distribution."""
    max_tokens: int
    seed: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """A condition as the token ids that are sent."""

    condition_id: str
    ids: Sequence[int]
    turn: int = 0
    """Turns that the model has had before in this conversation."""
    engine: str | None = None
    """Level of the factor over engine settings that serves it; None where the suite has no such factor."""

    @property
    def digest(self) -> str | None:
        """First 16 hex digits of the digest of a later turn's ids; None in the first, which the condition fixes."""
        return None if self.turn == 0 else digest(list(self.ids))[:16]

    @property
    def key(self) -> str:
        """Equal for equal prompts of one condition, whichever side's conversation led there."""
        return self.condition_id if self.turn == 0 else f"{self.condition_id}/{self.digest}"


def request_seed(condition: str, sample: int, seed: int, turn: int = 0) -> int:
    """Seed of one request in [0, 2^62): both sides use the same one (common random numbers)."""
    text = f"{seed}/{condition}/{sample}" + (f"/{turn}" if turn else "")
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call a model made."""

    name: str
    arguments: str
    """The arguments as the model wrote them, normally a JSON object."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled answer."""

    text: str
    """Everything the model wrote, tool-call markup included."""
    token_ids: Sequence[int]
    finish_reason: str
    """`stop` (the model ended its turn) or `length` (it was cut at max_tokens)."""
    content: str
    """The text beside the calls."""
    calls: Sequence[ToolCall]
    parse: Parse
    """`none`: no call attempted; `parsed`; `failed`: markup that is no valid call."""
    parse_reason: str | None = None
    """Why `parse` is `failed`; None otherwise."""


class Score(NamedTuple):
    """Log-probabilities (nats) of a given answer of T tokens under one model, teacher-forced."""

    logprobs_T: np.ndarray
    """float32 [T]: each answer token's own log-probability."""
    top_ids_TK: np.ndarray
    """int32 [T, K]: the K most probable tokens, best first."""
    top_logprobs_TK: np.ndarray
    """float32 [T, K]."""
