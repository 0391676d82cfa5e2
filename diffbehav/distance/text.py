"""How far two answers are apart as written, whatever the models thought of them."""

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

from diffbehav.distance.ragged import lengths

SURROGATES = range(0xD800, 0xE000)
MOST_IDS = 0x110000 - len(SURROGATES)
"""Token ids are spelt as Unicode characters, of which there are this many."""


def token_edit(
    candidate_ids_M: np.ndarray,
    trusted_ids_M: np.ndarray,
    *,
    candidate_offsets_N1: np.ndarray,
    trusted_offsets_N1: np.ndarray,
) -> np.ndarray:
    """float64 [N]: Levenshtein distance of the token sequences over the longer length.

    0 = equal, two empty answers included; 1 = no token kept in its place.
    """
    candidate_N = _spelt(candidate_ids_M, candidate_offsets_N1)
    trusted_N = _spelt(trusted_ids_M, trusted_offsets_N1)
    if len(candidate_N) != len(trusted_N):
        raise ValueError(f"{len(candidate_N)} candidate and {len(trusted_N)} trusted answers: give them in pairs")
    return np.asarray(
        cpdist(candidate_N, trusted_N, scorer=Levenshtein.normalized_distance, dtype=np.float64, workers=1)
    )


def text_differs(candidate_N: np.ndarray, trusted_N: np.ndarray) -> np.ndarray:
    """float64 [N]: 1 where the two texts are not the same string, else 0."""
    return np.asarray(np.asarray(candidate_N, dtype=object) != np.asarray(trusted_N, dtype=object), dtype=np.float64)


def _spelt(ids_M: np.ndarray, offsets_N1: np.ndarray) -> list[str]:
    """Each answer as a string with one character per token, equal characters for equal ids."""
    lengths(offsets_N1, tokens=len(ids_M))
    if ids_M.size and not 0 <= ids_M.min() <= ids_M.max() < MOST_IDS:
        raise ValueError(f"token ids run from {ids_M.min()} to {ids_M.max()}: they must lie in 0..{MOST_IDS - 1}")
    points_M = ids_M.astype("<u4")
    points_M[points_M >= SURROGATES.start] += len(SURROGATES)
    text = points_M.tobytes().decode("utf-32-le")
    places = offsets_N1.tolist()
    return [text[start:stop] for start, stop in zip(places[:-1], places[1:], strict=True)]
