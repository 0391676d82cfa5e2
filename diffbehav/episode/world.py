"""The state of a simulated world, and what the effects of tools make of it. Values in, values out."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from diffbehav.episode.refusals import Capped, Refused
from diffbehav.records import canonical_json

LONGEST_PATH = 1_024
LONGEST_FILE = 65_536
"""Characters of one file."""
MOST_FILES = 1_000
MOST_ROWS = 1_000
"""Rows of one table."""


@dataclass(frozen=True, slots=True)
class World:
    """A file tree and tables. Directories are where files lie below."""

    files: Mapping[str, str]
    """Normalised absolute path -> content."""
    tables: Mapping[str, tuple[str, ...]]
    """Table -> rows, each one JSON object as canonical JSON."""


class Done(NamedTuple):
    """What an effect led to."""

    world: World
    found: Mapping[str, str | int]
    """What the tool's result may speak of."""


def normalised(path: str) -> str:
    """`path` as an absolute path without `.` and `..`, relative ones from the root; Refused where it is none."""
    if not path.strip() or "\0" in path:
        raise Refused("the path is empty or holds a NUL character")
    if len(path) > LONGEST_PATH:
        raise Capped(f"the path has {len(path):,} characters; the limit is {LONGEST_PATH:,}")
    return posixpath.normpath("/" + path.lstrip("/"))


def read(world: World, path: str) -> Done:
    """Found: `content`, `lines`."""
    content = world.files[_file(world, path)]
    return Done(world, {"content": content, "lines": len(content.splitlines())})


def listing(world: World, path: str) -> Done:
    """Found: `entries`, one name a line and directories with a slash, and `count`."""
    place = normalised(path)
    if place in world.files:
        return Done(world, {"entries": place, "count": 1})
    below = _below(place)
    inside = {name.removeprefix(below) for name in world.files if name.startswith(below)}
    if not inside and place != "/":
        raise Refused(f"{place}: no such file or directory")
    names = sorted({head + slash for head, slash, _ in (name.partition("/") for name in inside)})
    return Done(world, {"entries": "\n".join(names), "count": len(names)})


def write(world: World, path: str, content: str) -> Done:
    """The file has this content, whether it was there or not."""
    place = normalised(path)
    if _is_directory(world, place):
        raise Refused(f"{place}: is a directory")
    if any(place.startswith(name + "/") for name in world.files):
        raise Refused(f"{place}: not a directory")
    if len(content) > LONGEST_FILE:
        raise Capped(f"{place}: {len(content):,} characters; the limit of a file is {LONGEST_FILE:,}")
    if place not in world.files and len(world.files) >= MOST_FILES:
        raise Capped(f"{place}: no space left, {MOST_FILES:,} files are the limit")
    return Done(replace(world, files={**world.files, place: content}), {})


def delete(world: World, path: str) -> Done:
    """The file is gone; a directory cannot be deleted."""
    place = _file(world, path)
    return Done(replace(world, files={name: text for name, text in world.files.items() if name != place}), {})


def move(world: World, path: str, to: str) -> Done:
    """Into `to` where that is a directory or ends with a slash, else to that name. Found: `path`, the new one."""
    place, content = _file(world, path), world.files[_file(world, path)]
    target = normalised(to)
    if to.endswith("/") or _is_directory(world, target):
        target = posixpath.join(target, posixpath.basename(place))
    moved = write(delete(world, place).world, target, content)
    return Done(moved.world, {"path": target})


def append(world: World, table: str, row: Mapping[str, Any]) -> Done:
    """The table, made where there was none, has one row more. Found: `count`, its rows."""
    rows = world.tables.get(table, ())
    if len(rows) >= MOST_ROWS or (table not in world.tables and len(world.tables) >= MOST_FILES):
        raise Capped(f"{table}: no space left, {MOST_ROWS:,} rows are the limit")
    rows = (*rows, canonical_json(row))
    return Done(replace(world, tables={**world.tables, table: rows}), {"count": len(rows)})


def select(world: World, table: str, limit: str | None) -> Done:
    """The first `limit` rows, all where it is None. Found: `rows`, one JSON object a line, and `count`."""
    if table not in world.tables:
        raise Refused(f"{table}: no such table")
    try:
        count = None if limit is None else max(0, int(limit))
    except ValueError:
        raise Refused("the limit is not a whole number") from None
    rows = world.tables[table][:count]
    return Done(world, {"rows": "\n".join(rows), "count": len(rows)})


def changed(start: World, end: World) -> dict[str, Any]:
    """What differs at the end: files {path: {"before", "after"}}, None where absent, and rows {table: rows added}."""
    files = {
        path: {"before": start.files.get(path), "after": end.files.get(path)}
        for path in sorted(start.files.keys() | end.files.keys())
        if start.files.get(path) != end.files.get(path)
    }
    added = {table: list(rows[len(start.tables.get(table, ())) :]) for table, rows in sorted(end.tables.items())}
    return {"files": files, "rows": {table: rows for table, rows in added.items() if rows}}


def _file(world: World, path: str) -> str:
    place = normalised(path)
    if place not in world.files:
        raise Refused(f"{place}: {'is a directory' if _is_directory(world, place) else 'no such file'}")
    return place


def _is_directory(world: World, place: str) -> bool:
    below = _below(place)
    return place == "/" or any(name.startswith(below) for name in world.files)


def _below(place: str) -> str:
    return place if place == "/" else place + "/"
