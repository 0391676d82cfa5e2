"""Said versus did by likelihood: whether the trusted model would make such calls behind such a text."""

import numpy as np

from diffbehav.distance.measured import Measured
from diffbehav.distance.ragged import fold, lengths

NO_SPLIT = "where the text of an answer ends cannot be told from its tokens"
CUT = "an answer was cut before its text ended"


def calls_logprob(
    logprobs_M: np.ndarray, bytes_M: np.ndarray, *, offsets_N1: np.ndarray, text_bytes_N: np.ndarray,
    answer_bytes_N: np.ndarray,
) -> Measured:
    """log B(calls | context, text) of N answers in nats: the sum over all tokens behind the text of an answer.

    These are its calls and the token that ends the turn; of an answer without calls that token alone. `bytes_M` has the
    UTF-8 length of each token, 0 for a token that is no text; `text_bytes_N` that of the text in front of the calls and
    `answer_bytes_N` of the whole answer. A token on the border belongs to the calls.
    """
    lengths_N = lengths(offsets_N1, tokens=len(logprobs_M))
    sums_M1 = np.concatenate([[0], np.cumsum(bytes_M, dtype=np.int64)])
    ends_N = sums_M1[offsets_N1[1:]]
    after_M = np.repeat(ends_N, lengths_N) - sums_M1[1:]
    behind_N = answer_bytes_N - text_bytes_N
    behind_M = np.repeat(behind_N, lengths_N)
    follows_M = (after_M < behind_M) | ((after_M == 0) & (bytes_M == 0))
    found = fold(np.add, np.where(follows_M, logprobs_M, 0.0), offsets_N1)
    # Some tokens stand for parts of characters, so lengths need not add up; a border between two tokens is right.
    clean_M = (after_M == behind_M) | (after_M + bytes_M == behind_M)
    total_N = ends_N - sums_M1[offsets_N1[:-1]]
    unsure_N = ~_any(clean_M, offsets_N1) & (total_N != answer_bytes_N)
    cut_N = ~_any(follows_M, offsets_N1)
    for missing_N, why in ((cut_N, CUT), (unsure_N, NO_SPLIT)):
        missing_N &= lengths_N > 0
        found.value_N[missing_N], found.reason_N[missing_N] = np.nan, why
    return found


def mismatch(candidate: Measured, trusted: Measured) -> Measured:
    """log B(calls | text) of the trusted model's own answer minus that of the candidate's, both under that model B.

    Nats; 0 where the answers are the same, high where the text tells the story of other calls than were made. Where
    both sides write one text it is the log-odds of the trusted model's calls against the candidate's, given that text.
    """
    reason_N = np.where(candidate.reason_N == "", trusted.reason_N, candidate.reason_N)
    return Measured(trusted.value_N - candidate.value_N, reason_N)


def _any(true_M: np.ndarray, offsets_N1: np.ndarray) -> np.ndarray:
    return np.diff(np.concatenate([[0], np.cumsum(true_M)])[offsets_N1]) > 0
