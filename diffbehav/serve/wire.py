"""What is sent to a completions API of vLLM, and what its answers must be to be believed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from diffbehav.errors import InputError, IntegrityError
from diffbehav.records import Sampling, Score
from diffbehav.serve.link import Unusable

_NEEDS_VLLM = "serve the model with vLLM: other servers do not have what a comparison by tokens takes"
# A server puts its own defaults, of the model's generation_config.json, in place of what a request leaves out.
_NOTHING_CHANGED = {
    "n": 1, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0,
    "frequency_penalty": 0.0, "return_token_ids": True,
}  # fmt: skip
_ROUNDING = 1e-4
"""Nats that a log-probability may be above 0."""
_BYTES_PER_ENTRY = 1_000
_BYTES_BESIDE = 1 << 20


class Drawn(NamedTuple):
    """An answer as the server gave it."""

    token_ids: tuple[int, ...]
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its body, and how long an answer to it can be."""

    body: Mapping[str, Any]
    most_bytes: int


def drawing(model: str, ids: Sequence[int], sampling: Sampling, *, seed: int) -> Asked:
    """Asks for one answer. `seed` is that of the request; none is sent where sampling is greedy."""
    body = _body(model, ids) | {"max_tokens": sampling.max_tokens, "temperature": sampling.temperature}
    if sampling.temperature > 0:
        body["seed"] = seed
    return Asked(body, _most_bytes(len(ids) + sampling.max_tokens, alternatives=0))


def scoring(model: str, ids: Sequence[int], *, top_k: int) -> Asked:
    """Asks for the log-probabilities of `ids` themselves, which come with one token that is thrown away."""
    body = _body(model, ids) | {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": top_k}
    return Asked(body, _most_bytes(len(ids), alternatives=top_k))


def tokenising(model: str, text: str) -> Asked:
    """Asks which tokens `text` is to the server."""
    body = _body(model, []) | {"prompt": text, "add_special_tokens": False, "max_tokens": 1, "temperature": 0.0}
    return Asked(body, _most_bytes(len(text.encode()), alternatives=0))


def read_drawn(model: str, ids: Sequence[int], most: int) -> Callable[[Any], Drawn]:
    """Reads the answer to `drawing` the prompt `ids` with at most `most` tokens."""

    def read(answer: Any) -> Drawn:
        choice = _choice(answer, model, ids)
        drawn, reason = _ids(choice, "token_ids"), choice.get("finish_reason")
        if reason not in ("stop", "length"):
            raise Unusable("an answer ended neither by itself nor at max_tokens")
        counted = answer["usage"].get("completion_tokens") if isinstance(answer.get("usage"), dict) else len(drawn)
        if counted != len(drawn):
            raise Unusable(f"{len(drawn)} token ids of an answer that is counted as another number of tokens")
        if not (0 < len(drawn) <= most and (reason == "stop" or len(drawn) == most)):
            raise Unusable(f"{len(drawn)} tokens, ended by {reason!r}, where at most {most} were asked for")
        return Drawn(drawn, str(reason))

    return read


def read_score(model: str, ids: Sequence[int], *, answer: int, top_k: int) -> Callable[[Any], Score]:
    """Reads the log-probabilities of the last `answer` tokens of `ids`; InputError where the server gives none."""

    def read(body: Any) -> Score:
        choice = _choice(body, model, ids)
        positions = choice.get("prompt_logprobs")
        if positions is None:
            raise InputError(f"the server returns no prompt log-probabilities for {model!r}; {_NEEDS_VLLM}")
        if not isinstance(positions, list) or len(positions) != len(ids):
            raise Unusable(f"log-probabilities of other than the {len(ids)} tokens that were sent")
        rows = [
            _ranked(entries, own, top_k) for own, entries in zip(ids[-answer:], positions[-answer:], strict=True)
        ]
        values = np.array([[own, *(value for _, value in best)] for own, best in rows], dtype=np.float32)
        if not np.isfinite(values).all() or values.max() > _ROUNDING:
            raise Unusable("log-probabilities that are none: not finite, or above 0")
        best_TK = np.array([[index for index, _ in best] for _, best in rows], dtype=np.int32)
        return Score(logprobs_T=values[:, 0], top_ids_TK=best_TK, top_logprobs_TK=values[:, 1:])

    return read


def read_tokens(model: str) -> Callable[[Any], list[int]]:
    """Reads the answer to `tokenising`."""
    return lambda answer: list(_ids(_choice(answer, model, None), "prompt_token_ids"))


def _body(model: str, ids: Sequence[int]) -> dict[str, Any]:
    return {"model": model, "prompt": list(ids), **_NOTHING_CHANGED}


def _most_bytes(tokens: int, *, alternatives: int) -> int:
    return _BYTES_BESIDE + tokens * (alternatives + 2) * _BYTES_PER_ENTRY


def _choice(answer: Any, model: str, sent: Sequence[int] | None) -> dict[str, Any]:
    """The one choice; IntegrityError where another model gave it."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise Unusable("the answer has no choice, or more than one")
    if answer.get("model") != model:
        raise IntegrityError(f"the server answers with another model than {model!r}; name the one that is to be asked")
    choice: dict[str, Any] = choices[0]
    if sent is not None and list(_ids(choice, "prompt_token_ids")) != list(sent):
        raise Unusable("the prompt was other tokens to the server than were sent")
    return choice


def _ids(choice: Mapping[str, Any], key: str) -> tuple[int, ...]:
    ids = choice.get(key)
    if ids is None:
        raise InputError(f"the server returns no {key}; {_NEEDS_VLLM}")
    if not isinstance(ids, list) or not all(type(index) is int and 0 <= index < 2**31 for index in ids):
        raise Unusable(f"{key} that are no token ids")
    return tuple(ids)


def _ranked(entries: Any, own: int, top_k: int) -> tuple[float, list[tuple[int, float]]]:
    """Log-probability of the token itself, and the `top_k` best tokens with theirs."""
    try:
        found = [(int(index), int(entry["rank"]), float(entry["logprob"])) for index, entry in entries.items()]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise Unusable("log-probabilities in another form") from error
    if not all(0 <= index < 2**31 for index, _, _ in found):
        raise Unusable("log-probabilities of what are no token ids")
    best = sorted((each for each in found if each[1] <= top_k), key=lambda each: each[1])
    given = [value for index, _, value in found if index == own]
    if not given or [rank for _, rank, _ in best] != list(range(1, top_k + 1)):
        raise Unusable(f"a token without its log-probability, or without its {top_k} alternatives")
    return given[0], [(index, value) for index, _, value in best]
