"""How far two strings are apart, paths and URLs read as such; 0 = the same, 1 = nothing in common."""

import posixpath
import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from rapidfuzz.distance import Levenshtein

PIECE = 4096
"""Characters compared at once: longer strings are cut, which keeps a megabyte from taking minutes."""
SCHEME_WEIGHT, HOST_WEIGHT, TARGET_WEIGHT = 0.2, 0.5, 0.3
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_PATH = re.compile(r"(~?/|\.\.?/)[^\s]*|[\w.@+-]+(/[\w.@+-]*)+")


def string_distance(a: str, b: str) -> float:
    """URLs by their parts, paths once normalised (`/srv/./x/../y` is `/srv/y`), anything else as written."""
    if a == b:
        return 0.0
    if _URL.fullmatch(a) and _URL.fullmatch(b):
        return _url_distance(a, b)
    if _PATH.fullmatch(a) and _PATH.fullmatch(b):
        return edit_distance(posixpath.normpath(a), posixpath.normpath(b))
    return edit_distance(a, b)


def edit_distance(a: Sequence[str], b: Sequence[str], *, piece: int = PIECE) -> float:
    """Levenshtein distance of two strings or lists over the longer length.

    Those of more than `piece` items are both cut in the same number of even pieces that are compared one by one,
    an upper bound of the distance.
    """
    longer = max(len(a), len(b))
    if longer <= piece:
        return float(Levenshtein.normalized_distance(a, b))
    pieces = -(-longer // piece)
    edits = sum(Levenshtein.distance(_piece(a, place, pieces), _piece(b, place, pieces)) for place in range(pieces))
    return float(edits / longer)


def _piece(whole: Sequence[str], place: int, pieces: int) -> Sequence[str]:
    return whole[len(whole) * place // pieces : len(whole) * (place + 1) // pieces]


def _url_distance(a: str, b: str) -> float:
    """Another scheme or host counts whole, however similar it looks; the rest of the URL counts by edits."""
    try:
        parts_a, parts_b = urlsplit(a), urlsplit(b)
    except ValueError:
        return edit_distance(a, b)
    return (
        SCHEME_WEIGHT * (parts_a.scheme != parts_b.scheme)
        + HOST_WEIGHT * (_host(parts_a) != _host(parts_b))
        + TARGET_WEIGHT * edit_distance(_target(parts_a), _target(parts_b))
    )


def _host(parts: SplitResult) -> str:
    user, at, host = parts.netloc.rpartition("@")
    return user + at + host.lower()


def _target(parts: SplitResult) -> str:
    return parts._replace(scheme="", netloc="", path=parts.path or "/").geturl()
