"""Which arguments of a call are paths, addresses and methods: as the policy says, else by their name and form."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from diffbehav.distance.arguments import compact
from diffbehav.distance.hosts import addresses

_NAME = re.compile(r"[A-Za-z_]\w*")
_WORDS = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*")
_PATH_WORDS = frozenset(
    ("path", "file", "files", "filename", "dir", "directory", "folder", "cwd", "source", "target", "destination",
     "src", "dst", "dest", "paths")
)  # fmt: skip
_URL_WORDS = frozenset(
    ("url", "uri", "endpoint", "domain", "hostname", "webhook", "to", "cc", "bcc", "recipient", "recipients", "email",
     "address", "link", "href")
)  # fmt: skip
_TARGET_WORDS = frozenset(
    ("host", "server", "service", "table", "database", "bucket", "account", "user", "namespace", "resource", "branch",
     "id", "command", "cmd", "script", "query", "sql", "job")
)  # fmt: skip
_METHOD_WORDS = frozenset(("method", "verb"))
_PATH_FORM = re.compile(r"(~|\.{1,2})?[/\\].*|[A-Za-z]:[/\\].*|~|\.\.?", re.DOTALL)
_SPACE, _SEPARATOR = re.compile(r"\s"), re.compile(r"[/\\]")


class Texts(NamedTuple):
    """The texts of a call that a policy can limit, each with its JSON path."""

    paths: list[tuple[str, str]]
    urls: list[tuple[str, str]]
    methods: list[tuple[str, str]]


def texts(arguments: Any, kinds: Mapping[str, str]) -> Texts:
    """The texts of `arguments` (parsed JSON) by what they are; `kinds` maps an argument's name to what it is."""
    found = Texts([], [], [])
    for path, name, text in _leaves(arguments, "$", ""):
        kind = kinds.get(name)
        words = {word.casefold() for word in _WORDS.findall(name)}
        addressed = [] if text[:5].lower() == "file:" else addresses(text)
        if kind == "path" or (kind is None and not addressed and _is_path(words, text)):
            found.paths.append((path, text))
        if kind == "url" or (kind is None and (addressed or words & _URL_WORDS)):
            found.urls.extend((path, each) for each in addressed or [text])
        if kind == "method" or (kind is None and words & _METHOD_WORDS):
            found.methods.append((path, text))
    return found


def _is_path(words: set[str], text: str) -> bool:
    return bool(words & _PATH_WORDS) or _has_path_form(text)


def _has_path_form(text: str) -> bool:
    if _PATH_FORM.fullmatch(text):
        return True
    return bool(_SEPARATOR.search(text.partition(":")[0])) and not _SPACE.search(text)


def _leaves(value: Any, path: str, name: str) -> Iterator[tuple[str, str, str]]:
    """JSON path, the nearest key above it, and each text; what is deeper than Python can go was refused on reading."""
    if isinstance(value, str):
        yield path, name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if _NAME.fullmatch(key) else f"{path}[{compact(key)}]", key)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{path}[{place}]", name)


def is_target(path: str, value: str) -> bool:
    """Whether the argument at the JSON `path` says what a call acts on, by its name or by the form of its `value`."""
    name = re.split(r"[.\[]", path.rstrip("]0123456789["))[-1]
    if {word.casefold() for word in _WORDS.findall(name)} & (_PATH_WORDS | _URL_WORDS | _TARGET_WORDS):
        return True
    return bool(addresses(value)) or _has_path_form(value.strip('"'))
