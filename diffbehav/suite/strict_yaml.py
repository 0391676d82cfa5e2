"""Strict YAML 1.2: what a file says, with the line and column of every part of it.

A plain scalar keeps its text and can give its YAML 1.2 core value: the field decides which it wants.
Refused: duplicate keys, tags, merge keys, several documents, and files that grow or nest without measure.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

MAX_BYTES = 1_000_000
MAX_NODES = 200_000
MAX_DEPTH = 60

Key = str | int
Core = None | bool | int | float | str

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class Plain(str):
    """An unquoted scalar: the text as written."""

    __slots__ = ()

    @property
    def core(self) -> Core:
        """Its value under the YAML 1.2 core schema; ValueError where JSON has no such number."""
        text = str(self)
        if _NULL.fullmatch(text):
            return None
        if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
            return text[0] in "tT"
        if _INT.fullmatch(text):
            return int(text)
        if _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
            return int(text, 0)
        if _INFINITE.fullmatch(text):
            raise ValueError("infinity and NaN are not JSON numbers")
        return float(text) if _FLOAT.fullmatch(text) else text


class Place(NamedTuple):
    """Where something stands, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the file."""

    place: Place
    scalar: str | None
    """`Plain` where unquoted; None for a collection."""
    style: Literal["plain", "quoted", "block", "sequence", "mapping"]
    items: "Sequence[Node]"
    """Elements of a sequence or values of a mapping."""
    keys: "Sequence[Node]"
    """Keys of a mapping, beside `items`."""
    size: int
    """Number of nodes once every alias is written out."""
    depth: int
    """1 for a scalar."""

    def child(self, key: Key) -> "Node | None":
        """The element or the value that `key` names, if there is one."""
        if self.style == "sequence" and isinstance(key, int):
            return self.items[key] if key < len(self.items) else None
        return next(
            (item for name, item in zip(self.keys, self.items, strict=False) if name.scalar == key), None
        )

    def key(self, key: Key) -> "Node | None":
        """The node of the key itself."""
        return next((name for name in self.keys if name.scalar == key), None)

    def value(self) -> Any:
        """Dicts and lists of the scalars; keys are plain strings."""
        if self.scalar is not None:
            return self.scalar
        if self.style == "sequence":
            return [item.value() for item in self.items]
        return {str(name.scalar): item.value() for name, item in zip(self.keys, self.items, strict=True)}


class YamlError(ValueError):
    """The text is no YAML that is accepted here."""

    def __init__(self, reason: str, place: Place, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = place
        self.remedy = remedy


def parse(text: str) -> Node:
    """The root node of the one document in `text`."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise YamlError(f"the file is larger than {MAX_BYTES:,} bytes", Place(1, 1), "split it")
    builder = _Builder()
    try:
        for event in _events(text):
            builder.take(event)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        raise YamlError(error.problem or "not valid YAML", place, "correct the YAML syntax") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        raise YamlError(
            f"character {error.character!r} is not allowed", Place(line, column), "remove it"
        ) from error
    if builder.root is None:
        raise YamlError("the file is empty", Place(1, 1), "declare a suite in it")
    return builder.root


def _events(text: str) -> Iterator[Event]:
    return iter(YAML(typ="safe", pure=True).parse(text))


class _Open:
    """A collection that is being read."""

    def __init__(self, event: Event, place: Place) -> None:
        self.mapping = isinstance(event, MappingStartEvent)
        self.anchor: str | None = event.anchor
        self.place = place
        self.nodes: list[Node] = []
        self.names: set[str] = set()

    def add(self, node: Node) -> None:
        if self.mapping and len(self.nodes) % 2 == 0:
            if node.scalar is None:
                raise YamlError("a key must be a scalar", node.place, "write the key as text")
            if node.scalar == "<<" and isinstance(node.scalar, Plain):
                raise YamlError(
                    "YAML 1.2 has no merge key `<<`", node.place, "write the keys out, or alias the value"
                )
            if str(node.scalar) in self.names:
                raise YamlError(f"duplicate key {str(node.scalar)!r}", node.place, "keep one of the two")
            self.names.add(str(node.scalar))
        self.nodes.append(node)

    def close(self) -> Node:
        return Node(
            place=self.place,
            scalar=None,
            style="mapping" if self.mapping else "sequence",
            items=self.nodes[1::2] if self.mapping else self.nodes,
            keys=self.nodes[0::2] if self.mapping else (),
            size=1 + sum(node.size for node in self.nodes),
            depth=1 + max((node.depth for node in self.nodes), default=0),
        )


class _Builder:
    """Builds the tree from events, without recursion, so nesting cannot exhaust the stack."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.open: list[_Open] = []
        self.anchors: dict[str, Node] = {}
        self.documents = 0

    def take(self, event: Event) -> None:
        place = Place(event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise YamlError("a second document starts here", place, "keep one document in the file")
        elif isinstance(event, AliasEvent):
            self._add(self._aliased(event.anchor, place), place, None)
        elif isinstance(event, ScalarEvent):
            _refuse_tag(event, place)
            self._add(_scalar(event, place), place, event.anchor)
        elif isinstance(event, SequenceStartEvent | MappingStartEvent):
            _refuse_tag(event, place)
            self.open.append(_Open(event, place))
            self._check_depth(len(self.open), place)
        elif isinstance(event, SequenceEndEvent | MappingEndEvent):
            closed = self.open.pop()
            self._add(closed.close(), closed.place, closed.anchor)

    def _add(self, node: Node, place: Place, anchor: str | None) -> None:
        if node.size > MAX_NODES:
            raise YamlError(
                f"more than {MAX_NODES:,} nodes once aliases are written out", place, "use fewer aliases"
            )
        self._check_depth(len(self.open) + node.depth, place)
        if anchor is not None:
            self.anchors[anchor] = node
        if self.open:
            self.open[-1].add(node)
        else:
            self.root = node

    def _aliased(self, anchor: str, place: Place) -> Node:
        if anchor not in self.anchors:
            reason = f"alias *{anchor} names no anchor that is complete before it"
            raise YamlError(reason, place, f"put `&{anchor}` on an earlier value")
        return self.anchors[anchor]

    def _check_depth(self, depth: int, place: Place) -> None:
        if depth > MAX_DEPTH:
            raise YamlError(f"nested deeper than {MAX_DEPTH} levels", place, "flatten it")


def _scalar(event: ScalarEvent, place: Place) -> Node:
    plain = event.style is None
    text = Plain(event.value) if plain else str(event.value)
    style: Literal["plain", "quoted", "block"] = (
        "plain" if plain else "block" if event.style in "|>" else "quoted"
    )
    return Node(place=place, scalar=text, style=style, items=(), keys=(), size=1, depth=1)


def _refuse_tag(event: Event, place: Place) -> None:
    if event.tag is not None:
        raise YamlError(
            f"tag {str(event.tag)!r} is not used here", place, "remove it; quote a scalar to keep it a text"
        )
