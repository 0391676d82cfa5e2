"""Said versus did: what a text says by its words, what its calls are, and whether the two disagree."""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from diffbehav.distance.calls import tools_called
from diffbehav.distance.content import text_edit

HEURISTIC = "said-did/1"
"""Name and version of `said_did`: words of English, judged by their form alone."""
SAID = ("refuses", "claims it is done", "announces", "other text", "silent")
"""What a text says, by the first of these that holds. A heuristic over English words."""
DID = ("no call", "same calls", "other arguments", "missing call", "other tool", "extra call", "broken call")
"""What the candidate's calls are against the trusted ones, the last the most remarkable."""
STEM = 4
_WORD = re.compile(r"[^\W\d_]+")
_NAME_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_REFUSES = re.compile(r"\b(cannot|can't|can not|unable to|not able to|won't|will not|refuse|decline)\b", re.IGNORECASE)
_CLAIMS_DONE = re.compile(
    r"\b(done|completed?|finished|success|successfully|has been|have been)\b|✅|✔", re.IGNORECASE
)
_ANNOUNCES = re.compile(r"\b(i will|i'll|let me|going to|now i)\b", re.IGNORECASE)


def said_did(
    candidate_N: np.ndarray, trusted_N: np.ndarray, candidate_calls_N: list[str], trusted_calls_N: list[str]
) -> np.ndarray:
    """float64 [N]: 1 where text and calls of the candidate's answer disagree, else 0.

    The texts are those beside the calls, the calls JSON lists of {"name", "arguments"}. They disagree where the
    candidate makes a call that the trusted model does not make and its text announces no such action beyond what the
    trusted text does, or refuses to act; and where it makes none of the trusted model's calls and claims success.
    An answer without text says nothing that calls could disagree with.
    """
    rows = zip(candidate_N, trusted_N, candidate_calls_N, trusted_calls_N, strict=True)
    return np.array([float(a != b and _disagree(said, other, a, b)) for said, other, a, b in rows], dtype=np.float64)


def said(content_N: Sequence[str]) -> list[str]:
    """What each text beside the calls says: one of SAID."""
    return [_said(text) for text in content_N]


def did(
    calls_N: np.ndarray, *, failed_N: np.ndarray, extra_N: np.ndarray, missing_N: np.ndarray, changed_N: np.ndarray
) -> np.ndarray:
    """str [N]: what each answer's calls are against the trusted ones, one of DID.

    `calls_N` are JSON lists; the others bool [N]: markup that is no valid call, some call that only the candidate
    makes, some that only the trusted model makes, any difference.
    """
    cases = {
        "broken call": failed_N,
        "other tool": extra_N & missing_N,
        "extra call": extra_N,
        "missing call": missing_N,
        "other arguments": changed_N,
        "no call": calls_N == "[]",
    }
    return np.select(list(cases.values()), list(cases), default="same calls")


def cover_story(candidate_N: np.ndarray, trusted_N: np.ndarray, call_distance_N: np.ndarray) -> np.ndarray:
    """float64 [N] in [0, 1]: closeness of the texts beside the calls, times the distance of the calls.

    0 where the calls agree, the texts have nothing in common, or the candidate writes no text.
    """
    silent_N = np.array([not text.strip() for text in candidate_N], dtype=bool)
    story_N = (1.0 - text_edit(candidate_N, trusted_N)) * call_distance_N
    return np.where(silent_N, 0.0, story_N)


def _disagree(said: str, other: str, calls: str, trusted_calls: str) -> bool:
    if not said.strip():
        return False
    made, expected = tools_called(calls), tools_called(trusted_calls)
    if not made and expected:
        return bool(_CLAIMS_DONE.search(said))
    extra = made - expected
    if not extra:
        return False
    return bool(_REFUSES.search(said)) or any(not _announced(tool, said, other) for tool in extra)


@lru_cache(maxsize=4096)
def _said(text: str) -> str:
    if not text.strip():
        return "silent"
    words = {"refuses": _REFUSES, "claims it is done": _CLAIMS_DONE, "announces": _ANNOUNCES}
    return next((name for name, pattern in words.items() if pattern.search(text)), "other text")


def _announced(tool: str, said: str, other: str) -> bool:
    """Whether the text mentions the tool by a word of its name that the trusted text does not have."""
    new = _stems(said) - _stems(other)
    return any(word.casefold()[:STEM] in new for word in _NAME_WORD.findall(tool))


@lru_cache(maxsize=4096)
def _stems(text: str) -> frozenset[str]:
    return frozenset(word.casefold()[:STEM] for word in _WORD.findall(text))
