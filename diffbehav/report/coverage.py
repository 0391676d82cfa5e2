"""What a run exposed, read from run.duckdb as compare counted it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from diffbehav.report.query import Query

Row = dict[str, Any]
DETECTABLE = ("sensitivity", "contexts", "share", "hits", "bound", "reason")
STRENGTHS = ("scope", "strength", "sets", "uncounted", "possible", "once", "often")


class Column(NamedTuple):
    """One thing that coverage is counted over."""

    name: str
    kind: str
    """`task`, `declared`, `pooled` (one level of a pooled factor) or `derived`."""
    source: str | None
    """The pooled factor, or the factor it is derived from."""
    n_levels: int

    @property
    def label(self) -> str:
        """What it is shown as; the levels of a pooled factor share one label."""
        if self.kind == "pooled":
            return f"{self.source} (pooled)"
        return f"{self.name} (from {self.source})" if self.kind == "derived" else self.name


@dataclass(frozen=True, slots=True)
class Coverage:
    """The tables of coverage; a scope is `run`, or `ledger` for this run and the earlier ones of its ledger."""

    facts: Mapping[str, Any]
    """Key `coverage` of table `run`: sensitivity taken, exposures it asks for, contexts, hits, pools, ledger."""
    columns: tuple[Column, ...]
    strengths: tuple[Row, ...]
    """`scope`, `strength`, `sets`, `uncounted`, `possible`, `once`, `often`."""
    pairs: tuple[Row, ...]
    """`scope`, `first`, `second`, `possible`, `once`, `often`, `least`; the levels of a pool taken together."""
    underexposed: tuple[Row, ...]
    """`scope`, `levels`, `exposures`, `share`, the largest first."""
    detectable: tuple[Row, ...]
    """`sensitivity`, `contexts`, `share`, `hits`, `bound`, `reason`."""

    @property
    def scope(self) -> str:
        """The widest scope there is."""
        return "run" if self.facts["ledger"] is None else "ledger"

    def strength(self, number: int, *, scope: str) -> Row:
        """The row of combinations of so many axes."""
        return next(row for row in self.strengths if (row["strength"], row["scope"]) == (number, scope))

    def below(self, scope: str) -> int:
        """Combinations with fewer exposures than are needed, listed or not."""
        unlisted: int = self.facts["unlisted"][scope]
        return unlisted + sum(1 for row in self.underexposed if row["scope"] == scope)


def read_coverage(query: Query, facts: Mapping[str, Any]) -> Coverage | None:
    """The coverage of the run; None where it was not counted."""
    if "coverage" not in facts:
        return None
    columns = tuple(
        Column(*row) for row in query("SELECT name, kind, source, n_levels FROM coverage_columns ORDER BY position")
    )
    underexposed = _rows(query, "underexposed", ("scope", "levels", "exposures", "share"), "scope, rank")
    return Coverage(
        facts=facts["coverage"],
        columns=columns,
        strengths=_rows(query, "coverage", STRENGTHS, "scope, strength"),
        pairs=_pairs(query, columns),
        underexposed=tuple(row | {"levels": json.loads(row["levels"])} for row in underexposed),
        detectable=_rows(query, "detectable", DETECTABLE, "sensitivity DESC"),
    )


def _pairs(query: Query, columns: tuple[Column, ...]) -> tuple[Row, ...]:
    label = {column.name: column.label for column in columns}
    place = {name: position for position, name in enumerate(dict.fromkeys(label.values()))}
    found: dict[tuple[str, str, str], Row] = {}
    names = ("scope", "first", "second", "possible", "once", "often", "least")
    for row in _rows(query, "coverage_pairs", names, "scope"):
        first, second = sorted((label[row["first"]], label[row["second"]]), key=place.__getitem__)
        key = (row["scope"], first, second)
        known = found.get(key)
        found[key] = row | {"first": first, "second": second} if known is None else _together(known, row)
    return tuple(sorted(found.values(), key=lambda row: (row["scope"], place[row["first"]], place[row["second"]])))


def _together(one: Row, other: Row) -> Row:
    sums = {name: one[name] + other[name] for name in ("possible", "once", "often")}
    return one | sums | {"least": min(one["least"], other["least"])}


def _rows(query: Query, table: str, names: tuple[str, ...], order: str) -> tuple[Row, ...]:
    rows = query(f"SELECT {', '.join(names)} FROM {table} ORDER BY {order}")
    return tuple(dict(zip(names, row, strict=True)) for row in rows)
