"""What is wrong in a suite file, shown as an error with place, excerpt and fix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rapidfuzz import process

from diffbehav.errors import InputError
from diffbehav.suite.strict_yaml import Key, Node, Place

SHOWN = 20
_WIDTH = 110


class Problem(NamedTuple):
    """One thing that is wrong."""

    id: str
    """Stable, for example `suite.unknown_key`."""
    path: tuple[Key, ...]
    """Keys from the root of the file; keys that the file lacks are skipped."""
    reason: str
    fix: str
    at_key: bool = False
    """Point at the last key of `path`, not at its value."""
    line: int = 0
    """Line inside a text that spans several lines, counted from 1; 0 points at the value's start."""
    word: str = ""
    """Point at this word of the line."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a suite was read from."""

    name: str
    """The file's path as it was given."""
    text: str
    root: Node | None
    """None where the suite did not come from a file."""


def refusal(source: Source, problems: Sequence[Problem]) -> InputError:
    """One error that shows every problem, at most SHOWN of them."""
    shown = [_show(source, problem) for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        shown.append(f"and {len(problems) - SHOWN} more")
    return InputError("\n\n".join(shown))


def show_at(
    source: Source,
    *,
    id: str,
    place: Place,
    path: str,
    reason: str,
    fix: str,
    parent: int = 0,
    width: int = 1,
) -> str:
    """The text of one error: id, place, excerpt with caret, fix."""
    lines = source.text.split("\n")
    head = f"error[{id}]: {source.name}:{place.line}:{place.column}" + (f"  {path}" if path else "")
    shown = [number for number in (parent, place.line) if 0 < number <= len(lines)]
    margin = len(str(place.line)) + 2
    cut = max(0, place.column - _WIDTH // 2) if place.column > _WIDTH - 30 else 0
    body = [
        f"{number:>{margin}} │ {lines[number - 1].rstrip().expandtabs(1)[cut : cut + _WIDTH]}"
        for number in dict.fromkeys(shown)
    ]
    caret = " " * (place.column - 1 - cut) + "^" * max(1, min(width, _WIDTH - place.column + cut))
    return "\n".join([head, *body, f"{' ' * margin} │ {caret} {reason}", f"  fix: {fix}"])


def meant(word: str, known: Sequence[str]) -> str:
    """`, did you mean `x`?` for the nearest known word, or the known words where none is near."""
    near = process.extractOne(word, list(known), score_cutoff=60)
    if near is not None:
        return f", did you mean `{near[0]}`?"
    return f"; known: {', '.join(known[:12])}{', ...' if len(known) > 12 else ''}" if known else ""


def path_text(path: Sequence[Key]) -> str:
    """`tasks[2].messages[0].content`."""
    parts = [f"[{key}]" if isinstance(key, int) else f".{key}" for key in path]
    return "".join(parts).lstrip(".")


def _show(source: Source, problem: Problem) -> str:
    if source.root is None:
        where = f"{source.name}  {path_text(problem.path)}"
        return f"error[{problem.id}]: {where}: {problem.reason}\n  fix: {problem.fix}"
    kept, node, parent, key = _walk(source.root, problem.path)
    pointed = key if problem.at_key and key is not None else node
    place = _inside(source.text, node, problem) if problem.line else pointed.place
    width = (
        len(problem.word) if problem.line else len(pointed.scalar or "^") if pointed.style == "plain" else 1
    )
    return show_at(
        source,
        id=problem.id,
        place=place,
        path=path_text(kept),
        reason=problem.reason,
        fix=problem.fix,
        parent=parent if parent < place.line else 0,
        width=width,
    )


def _walk(root: Node, path: Sequence[Key]) -> tuple[list[Key], Node, int, Node | None]:
    """The part of `path` the file has, the node there, the line of its parent's key, and its own key."""
    node, above, key, kept = root, 0, None, list[Key]()
    line = 0
    for step in path:
        below = node.child(step)
        if below is None:
            continue
        above, key = line, node.key(step)
        line = key.place.line if key is not None else below.place.line
        node = below
        kept.append(step)
    return kept, node, above, key


def _inside(text: str, node: Node, problem: Problem) -> Place:
    """The word's place in a text of several lines; only a block has its lines where the template has them."""
    lines = text.split("\n")
    first = node.place.line
    wanted = min(first + problem.line, len(lines)) if node.style == "block" else first
    for number in (wanted, *range(first, len(lines) + 1)):
        line = lines[number - 1]
        start = node.place.column - 1 if number == first else len(line) - len(line.lstrip())
        column = line.find(problem.word, start)
        if column >= 0:
            return Place(number, column + 1)
    return node.place
