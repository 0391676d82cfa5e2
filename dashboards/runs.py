"""The runs below a folder, each opened read-only and locked down for one request."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.view import run_path
from diffbehav.errors import InputError
from diffbehav.report.factors import Factor, read_factors
from diffbehav.report.findings import Finding, read_findings
from diffbehav.report.query import Query, querying, read_facts

MOST_RUNS = 400


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run while one request reads it."""

    id: str
    folder: Path
    query: Query
    facts: Mapping[str, Any]
    factors: tuple[Factor, ...]
    findings: tuple[Finding, ...]
    tables: frozenset[str]
    """Tables of the database: a run of an earlier build may lack some."""

    def href(self, *rest: str) -> str:
        """The path of a page of this run."""
        return run_path(self.id, *rest)

    def finding(self, finding_id: str) -> Finding | None:
        """The finding of that id."""
        return next((each for each in self.findings if each.id == finding_id), None)


def run_databases(folder: Path) -> dict[str, Path]:
    """Run id in addresses -> its run.duckdb, for every compared run at or below `folder`; the newest first."""
    paths = (path for path in folder.rglob("run.duckdb") if path.is_file())
    newest = sorted(paths, key=lambda path: -path.stat().st_mtime)[:MOST_RUNS]
    return {_id(path.parent.relative_to(folder).parts, folder): path for path in newest}


def _id(parts: Sequence[str], folder: Path) -> str:
    """A path below `folder` as one part of an address or of a list with commas, each path as another one.

    Its parts are joined by `~`; inside a part `~` is `!-`, a comma `!.` and `!` is `!!`. `folder` itself goes by its
    name, behind a `~` where a run below it has that name.
    """
    if not parts:
        name = folder.resolve().name
        return "~" * (folder / name / "run.duckdb").is_file() + _id([name], folder)
    return "~".join(part.replace("!", "!!").replace("~", "!-").replace(",", "!.") for part in parts)


@contextmanager
def opened(folder: Path, run_id: str) -> Iterator[OpenRun]:
    """The run of that id below `folder`; InputError where there is none."""
    database = run_databases(folder).get(run_id)
    if database is None:
        raise InputError(f"there is no compared run {run_id!r} below {folder}")
    with querying(database) as query:
        facts, factors, findings, tables = _read(database, database.stat().st_mtime_ns)
        yield OpenRun(run_id, database.parent, query, facts, factors, findings, tables)


@functools.lru_cache(maxsize=MOST_RUNS)
def _read(
    database: Path,
    changed: int,  # noqa: ARG001  a part of the key: a rebuilt database is another one
) -> tuple[Mapping[str, Any], tuple[Factor, ...], tuple[Finding, ...], frozenset[str]]:
    """What every page needs."""
    with querying(database) as query:
        tables = frozenset(row[0] for row in query("SELECT table_name FROM duckdb_tables()"))
        if not {"slices", "outcomes"} <= tables:
            raise InputError(f"{database} lacks the table slices; build it with `diffbehav compare {database.parent}`")
        return read_facts(query, database), read_factors(query), read_findings(query), tables

