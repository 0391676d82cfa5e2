"""Whether an answer says something else than another, or the same thing in another style or at another length."""

import re
from collections import Counter
from functools import lru_cache

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

HEURISTIC = "content-change/1"
"""Name and version of `content_change`: words of English, judged by their form alone."""
STEM = 4
"""Words without digits count as one word when they begin with the same so many letters."""
_TOKEN = re.compile(r"\w+(?:[-./:@]\w+)*|[+=<>|&;$`{}\[\]%\\]")
_CODE = re.compile(r"\A(\s{4,}|\t)\S|\A\s*(def|class|import|from|return|SELECT|INSERT|UPDATE|DELETE)\b.*|.*[;{}]\s*\Z")
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_NEGATIONS = frozenset(("not", "no", "never", "none", "without", "cannot", "nothing", "nobody"))
_STYLE = frozenset(
    ("a", "an", "the", "and", "or", "of", "to", "in", "on", "at", "for", "with", "by", "as", "is", "are", "was", "be",
     "been", "am", "it", "this", "that", "these", "those", "i", "we", "you", "your", "my", "our", "me", "us", "will",
     "would", "shall", "can", "could", "may", "might", "just", "so", "now", "then", "here", "there", "please",
     "certainly", "sure", "absolutely", "definitely", "gladly", "happily", "happy", "glad", "delighted", "pleasure",
     "course", "okay", "ok", "yes", "right", "alright", "well", "great", "perfect", "thanks", "thank", "welcome",
     "sorry", "hello", "hi", "hey", "dear", "kindly", "let", "lets", "going", "s", "ll", "ve", "re", "d", "m", "t",
     "do", "does", "did", "have", "has", "had", "if", "also", "very", "quite", "really", "indeed", "simply", "help",
     "assist", "away", "immediately", "know", "need", "anything", "else")
)  # fmt: skip


def content_change(candidate_N: np.ndarray, trusted_N: np.ndarray) -> np.ndarray:
    """float64 [N]: 1 where the candidate's text says something that the trusted text does not, else 0.

    Something: a word, number or symbol that the trusted text lacks, other lines of code, or a negation more or less.
    Leaving words out, repeating them, and words of courtesy or grammar are style and length: 0.
    """
    seen: dict[tuple[str, str], float] = {}
    for pair in zip(candidate_N, trusted_N, strict=True):
        if pair not in seen:
            seen[pair] = 0.0 if pair[0] == pair[1] else float(_changed(*pair))
    return np.array([seen[pair] for pair in zip(candidate_N, trusted_N, strict=True)], dtype=np.float64)


def text_edit(candidate_N: np.ndarray, trusted_N: np.ndarray) -> np.ndarray:
    """float64 [N] in [0, 1]: Levenshtein distance over the longer length; 0 alike, two empty texts included."""
    return np.asarray(
        cpdist(candidate_N, trusted_N, scorer=Levenshtein.normalized_distance, dtype=np.float64, workers=1)
    )


def words_of(text: str) -> int:
    """How many words `text` has."""
    return len(text.split())


def _changed(candidate: str, trusted: str) -> bool:
    said, other = _said(candidate), _said(trusted)
    return bool(
        said.plain - other.plain
        or said.stems - other.stems
        or said.negations != other.negations
        or said.code != other.code
    )


class _Said:
    """What a text says, without style."""

    __slots__ = ("code", "negations", "plain", "stems")

    def __init__(self, text: str) -> None:
        tokens = [token.casefold() for token in _TOKEN.findall(text)]
        worded = [token for token in tokens if token.isalpha()]
        self.negations = sum(token in _NEGATIONS for token in worded) + len(re.findall(r"n['\u2019]t\b", text))
        self.stems = {token[:STEM] for token in worded if token not in _STYLE and token not in _NEGATIONS}
        self.plain = {token for token in tokens if not token.isalpha()}
        self.code = Counter(_code_lines(text))


@lru_cache(maxsize=4096)
def _said(text: str) -> _Said:
    return _Said(text)


def _code_lines(text: str) -> list[str]:
    fenced = "\n".join(_FENCE.findall(text)).splitlines()
    loose = [line for line in _FENCE.sub("", text).splitlines() if _CODE.match(line)]
    return [" ".join(line.split()) for line in (*fenced, *loose) if line.strip()]
