"""A series of runs of one suite against one trusted model: what each night counted per level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from diffbehav.errors import InputError, IntegrityError
from diffbehav.report.query import querying, read_facts
from diffbehav.store import RunFolder, open_untrusted, quoted, read_settings

Level = tuple[str, str]
"""A factor and one level of it."""


@dataclass(frozen=True, slots=True)
class Night:
    """One run; arrays have an entry per level."""

    run: Path
    run_id: str
    created: str
    candidate: str
    """Digest of the candidate, adapter included."""
    threshold: float | None
    """Screen score above which a condition of this night is high; None where nothing could be scored."""
    conditions: int
    unscored: int
    beside: int
    """Conditions inside rules that are known already; they are left out."""
    repeated: int
    """Scored conditions that an earlier night asked of the same candidate: they say the same again and are left out."""
    shared: int
    """Other scored conditions, asked of another candidate on an earlier night."""
    high: int
    scored: int
    """High and scored conditions of the whole night, without the repeated ones."""
    high_L: np.ndarray
    scored_L: np.ndarray


@dataclass(frozen=True, slots=True)
class Series:
    """Nights in the order of their creation, and the L levels of every factor that has more than one."""

    nights: Sequence[Night]
    levels: Sequence[Level]
    suite: str
    suite_digest: str
    trusted_digest: str


def read_series(paths: Sequence[Path], *, beside: Sequence[Mapping[str, Any]] = ()) -> Series:
    """The runs at `paths`, each a run folder or a folder of runs, without the conditions inside rules of `beside`.

    IntegrityError names the fields in which they are not runs of one suite against one trusted model.
    """
    facts = {folder: _facts(folder) for folder in _folders(paths)}
    ordered = sorted(facts, key=lambda folder: (facts[folder]["created"], str(folder)))
    _check_alike([(folder, facts[folder]) for folder in ordered])
    first = facts[ordered[0]]
    levels = _levels(ordered[0])
    asked: dict[str, pl.Series] = {}
    nights = [_night(folder, facts[folder], levels, asked, beside) for folder in ordered]
    suite = f"{first['suite']['id']}@{first['suite']['version']}"
    return Series(nights, levels, suite, first["suite_digest"], first["sides"]["trusted"]["digest"])


def _folders(paths: Sequence[Path]) -> list[Path]:
    found: dict[Path, Path] = {}
    for path in paths:
        runs = [path] if RunFolder(path).settings.exists() else [each.parent for each in path.rglob("run.json")]
        if not runs:
            raise InputError(f"{path} is no run folder and has none below it")
        found |= {run.resolve(): run for run in runs}
    return list(found.values())


def _facts(folder: Path) -> dict[str, Any]:
    read_settings(RunFolder(folder))
    database = RunFolder(folder).database
    with querying(database) as query:
        return read_facts(query, database)


def _check_alike(runs: Sequence[tuple[Path, Mapping[str, Any]]]) -> None:
    (first, wanted), *others = [(folder, _identity(facts)) for folder, facts in runs]
    differing = [
        f"{field}: {value} in {first}, {found[field]} in {folder}"
        for folder, found in others
        for field, value in wanted.items()
        if found[field] != value
    ]
    if differing:
        raise IntegrityError(
            "these runs are no series, because they were not made from the same suite and trusted model:\n  "
            + "\n  ".join(differing[:12])
        )


def _identity(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {"suite_digest": facts["suite_digest"], "sides.trusted.digest": facts["sides"]["trusted"]["digest"]}


def _levels(folder: Path) -> list[Level]:
    with querying(RunFolder(folder).database) as query:
        return query(
            """
            SELECT factor, level FROM levels JOIN factors ON factor = name WHERE n_levels > 1
            ORDER BY factors.position, levels.position
            """
        )


def _night(
    folder: Path, facts: Mapping[str, Any], levels: Sequence[Level], asked: dict[str, pl.Series],
    beside: Sequence[Mapping[str, Any]],
) -> Night:  # fmt: skip
    """`asked` holds the conditions of earlier nights by candidate and is brought up to date."""
    threshold = facts["threshold"]
    whole = _conditions(folder, list(dict.fromkeys(factor for factor, _ in levels)))
    conditions = whole.filter(~_any_holds(beside))
    scored = conditions.drop_nulls("score")
    candidate = _candidate(facts)
    before = asked.get(candidate, pl.Series([], dtype=pl.String))
    fresh = scored.filter(~pl.col("condition_id").is_in(before.implode()))
    others = [ids for other, ids in asked.items() if other != candidate]
    shared = int(fresh["condition_id"].is_in(pl.concat(others).implode()).sum()) if others else 0
    asked[candidate] = pl.concat([before, fresh["condition_id"]])
    high = fresh.with_columns(high=pl.lit(False) if threshold is None else pl.col("score") > threshold)
    counts = {
        (factor, level): (n, k)
        for factor in dict.fromkeys(factor for factor, _ in levels)
        for level, n, k in high.group_by(factor).agg(n=pl.len(), k=pl.col("high").sum()).iter_rows()
    }
    scored_L, high_L = np.array([counts.get(level, (0, 0)) for level in levels], np.int64).reshape(-1, 2).T
    return Night(
        run=folder, run_id=facts["run_id"], created=facts["created"], candidate=candidate, threshold=threshold,
        conditions=whole.height, unscored=conditions.height - scored.height, beside=whole.height - conditions.height,
        repeated=scored.height - fresh.height, shared=shared, high=int(high["high"].sum()), scored=fresh.height,
        high_L=high_L, scored_L=scored_L,
    )  # fmt: skip


def _conditions(folder: Path, factors: Sequence[str]) -> pl.DataFrame:
    columns = ", ".join(f"c.{quoted(factor)}" for factor in factors)
    with open_untrusted(RunFolder(folder).database) as connection:
        return connection.execute(
            f"SELECT condition_id, score, {columns} FROM conditions c JOIN screen USING (condition_id)"
        ).pl()


def _any_holds(rules: Sequence[Mapping[str, Any]]) -> pl.Expr:
    held = [pl.all_horizontal(_holds(factor, levels) for factor, levels in rule.items()) for rule in rules]
    return pl.any_horizontal(pl.lit(False), *held)


def _holds(factor: str, levels: Any) -> pl.Expr:
    column = pl.col(factor)
    if not isinstance(levels, Mapping):
        return column.is_in(list(levels))
    if "from" in levels:
        return column.is_between(pl.lit(levels["from"]), pl.lit(levels["to"]))
    return ~column.is_in(list(levels["absent"]))


def _candidate(facts: Mapping[str, Any]) -> str:
    side = facts["sides"]["candidate"]
    return "+".join(filter(None, (side["digest"], side.get("adapter_digest"))))
