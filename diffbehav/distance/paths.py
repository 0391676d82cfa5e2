"""Paths of tool calls against the globs of a policy.

A path can be read in several ways: as written, with backslashes as separators, percent-decoded, in compatibility form.
It is allowed only if every reading is, and forbidden if any is.
"""

import posixpath
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

_DRIVE = re.compile(r"[A-Za-z]:/")
_UNRESOLVED = re.compile(r"[\x00-\x1f\x7f]|[$`]|\A~[^/]")
"""Control characters, shell variables and substitutions, and homes of other users."""
_WILD = re.compile(r"[*?\[]")


def is_inside(path: str, globs: Sequence[str], *, directory: str | None, home: str | None) -> bool:
    """Whether every reading of `path` matches one of `globs`; relative ones start from `directory`, `~` is `home`."""
    patterns = [absolute(glob, directory=directory, home=home) for glob in globs]
    places = [absolute(each, directory=directory, home=home) for each in _readings(path)]
    return all(
        place is not None and any(glob is not None and _pattern(glob).fullmatch(place) for glob in patterns)
        for place in places
    )


def may_reach(path: str, globs: Sequence[str], *, directory: str | None, home: str | None) -> bool:
    """Whether a reading of `path`, wildcards in it taken as wildcards, may match one of `globs`."""
    patterns = [absolute(glob, directory=directory, home=home) for glob in globs]
    for each in _readings(path):
        place = absolute(each, directory=directory, home=home)
        if place is None:
            continue
        for glob in patterns:
            if glob is not None and (_pattern(glob).fullmatch(place) or _overlap(place, glob)):
                return True
    return False


def absolute(path: str, *, directory: str | None, home: str | None) -> str | None:
    """`path` normalised and absolute; None where it holds what only a shell can resolve, or starts from nowhere."""
    if not path or _UNRESOLVED.search(path):
        return None
    if path == "~" or path.startswith("~/"):
        if home is None or not home.startswith("/"):
            return None
        path = home + path[1:]
    elif not path.startswith("/") and not _DRIVE.match(path):
        if directory is None or not directory.startswith("/"):
            return None
        path = f"{directory}/{path}"
    return re.sub(r"\A/+", "/", posixpath.normpath(path))


def _readings(path: str) -> list[str]:
    bare = re.sub(r"\Afile:(//(localhost)?(?=/))?", "", path, flags=re.IGNORECASE)
    read = {bare}
    for reading in (_slashes, unquote, _compatible):
        read |= {reading(each) for each in read}
    return sorted(read)


def _slashes(path: str) -> str:
    return path.replace("\\", "/")


def _compatible(path: str) -> str:
    return unicodedata.normalize("NFKC", path)


def _overlap(place: str, glob: str) -> bool:
    """Whether a path with wildcards can name something below what the glob names, judged by the fixed beginnings."""
    if not _WILD.search(place):
        return False
    fixed, other = _WILD.split(place)[0], _WILD.split(glob)[0]
    return fixed.startswith(other) or other.startswith(fixed)


@lru_cache(maxsize=4096)
def _pattern(glob: str) -> re.Pattern[str]:
    """`**` crosses directories, `*` and `?` do not; `a/**` is `a` and all below it."""
    parts = re.split(r"(\A\*\*/|/\*\*/|/\*\*\Z|\*\*|\*|\?|\[!?\]?[^\]]*\])", glob)
    written = {"**/": "(?:.*/)?", "/**/": "/(?:.*/)?", "/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(written.get(part) or _class(part) or re.escape(part) for part in parts), re.DOTALL)


def _class(part: str) -> str:
    """`[abc]` and `[!abc]`, which never match a separator."""
    if not (part.startswith("[") and part.endswith("]") and len(part) > 2):
        return ""
    negated, inner = part[1] == "!", re.sub(r"([\\\[\]^&~|])", r"\\\1", part[1:-1].removeprefix("!"))
    return f"(?!/)[{'^' if negated else ''}{inner}]"
