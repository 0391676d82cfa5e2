"""The one way SQL is asked here: read-only, locked down, values as parameters."""

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diffbehav.errors import IntegrityError
from diffbehav.records import excerpt
from diffbehav.report.words import HEADLINES
from diffbehav.store import QueryError, open_untrusted

Query = Callable[..., list[tuple[Any, ...]]]
"""`query(sql, name=value, ...)` -> rows; the values are the parameters `$name` of the statement."""

REQUIRED = ("run_id", "verdict", "verdict_reasons", "threshold", "suite", "sides")


@contextmanager
def querying(database: Path) -> Iterator[Query]:
    """A Query of `database`, which may come from somebody else."""
    connection = open_untrusted(database)

    def query(sql: str, **values: Any) -> list[tuple[Any, ...]]:
        try:
            return connection.execute(sql, values).fetchall()
        except QueryError as error:
            raise IntegrityError(f"{database} refuses to be read: {error}") from error

    try:
        yield query
    finally:
        connection.close()


def read_facts(query: Query, database: Path) -> dict[str, Any]:
    """Table `run` with parsed values; IntegrityError when a key is absent that every report needs, or is no fact."""
    try:
        facts = {key: json.loads(value) for key, value in query("SELECT key, value FROM run")}
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"{database}: a value of table run is no JSON ({error})") from error
    absent = [key for key in REQUIRED if key not in facts]
    if absent:
        folder = database.parent
        raise IntegrityError(
            f"{database}: table run lacks {', '.join(absent)}; build it again with `diffbehav compare {folder}`"
        )
    known_word(facts["verdict"], HEADLINES, what=f"{database}: the verdict")
    return facts


def known_word(word: object, known: Collection[str | None], *, what: str) -> None:
    """IntegrityError unless `word` is one of those that a database of diffbehav has at this place."""
    if word not in list(known):
        raise IntegrityError(f"{what} is {excerpt(word)}, which is none of {', '.join(map(str, known))}")
