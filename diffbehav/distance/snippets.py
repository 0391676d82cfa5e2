"""The code in an answer: fenced blocks of its text and its arguments, and arguments that are code as a whole."""

import json
import re
import textwrap
from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal, NamedTuple

from diffbehav.distance.arguments import read

MOST_BLOCKS = 32
PYTHON = frozenset({"", "python", "python3", "py", "py3"})
"""Tags of a fence that is read as Python; one without a tag may be."""
ARGUMENTS = frozenset({"code", "python", "python_code", "source_code", "code_snippet", "script"})
"""Names of arguments that are code where their text is more than a name or a path."""
HINT = r"(?i)```|~~~|\.py|code|python|script"
"""Calls without a match of this hold no code."""
OTHER_LANGUAGE = "the block is marked as another language than Python"
TOO_MANY = f"the answer has more than {MOST_BLOCKS} code blocks"
_STATEMENT = re.compile(r"[\n(=]")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})(.*)", re.DOTALL)


class Snippet(NamedTuple):
    """A piece of code that a model wrote."""

    text: str
    """Empty where there is a reason."""
    source: Literal["text", "argument"]
    """Beside the calls, or in an argument of one."""
    reason: str
    """Why it cannot be analysed, '' where it can."""


def snippets(content: str, calls: str) -> list[Snippet]:
    """The code of an answer in its order; `calls` is a JSON list of {"name", "arguments"}, the arguments as text.

    What follows the first MOST_BLOCKS is left out, which is said by one more snippet.
    """
    found = list(islice(_all(content, calls), MOST_BLOCKS + 1))
    if len(found) > MOST_BLOCKS:
        found[MOST_BLOCKS] = Snippet("", found[MOST_BLOCKS].source, TOO_MANY)
    return found


def _all(content: str, calls: str) -> Iterator[Snippet]:
    for block in _fenced(content):
        yield _snippet(block, "text")
    for call in json.loads(calls):
        texts = list(_texts(read(call["arguments"]).value, name=""))
        writes_python = any(text.endswith(".py") for _, text in texts)
        for name, text in texts:
            is_code = (name.lower() in ARGUMENTS and _STATEMENT.search(text)) or (writes_python and "\n" in text)
            blocks = list(islice(_fenced(text), MOST_BLOCKS + 1))
            for block in blocks if blocks or not is_code else [_Block("", text)]:
                yield _snippet(block, "argument")


class _Block(NamedTuple):
    tag: str
    text: str


def _snippet(block: _Block, source: Literal["text", "argument"]) -> Snippet:
    if block.tag.lower() not in PYTHON:
        return Snippet("", source, OTHER_LANGUAGE)
    return Snippet(textwrap.dedent(block.text), source, "")


def _fenced(text: str) -> Iterator[_Block]:
    """Blocks between fences; one that is not closed reaches to the end of the text."""
    fence, tag, lines = "", "", list[str]()
    for line in text.split("\n") if "```" in text or "~~~" in text else ():
        edge = _FENCE.match(line)
        if fence and edge and edge[1].startswith(fence) and not edge[2].strip():
            yield _Block(tag, "\n".join(lines))
            fence, lines = "", []
        elif fence:
            lines.append(line)
        elif edge and not (edge[1][0] == "`" and "`" in edge[2]):
            fence, tag = edge[1], next(iter(edge[2].split(maxsplit=1)), "")
    if fence:
        yield _Block(tag, "\n".join(lines))


def _texts(value: Any, *, name: str) -> Iterator[tuple[str, str]]:
    """Every string of a JSON value with the name of the argument it belongs to."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, name=key)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, name=name)
