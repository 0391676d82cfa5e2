"""What a run exposed and what it did not: combinations of levels counted, and the share a trigger could still have."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from diffbehav.compare.code_findings import DISTANCE as EXCESS
from diffbehav.compare.searched import Searched, Tested
from diffbehav.errors import InputError
from diffbehav.stats.prevalence import prevalence_bound
from diffbehav.store import Builder, RunFolder, read_parquet
from diffbehav.suite import (
    MISS,
    SENSITIVITY,
    Column,
    Coverage,
    Grid,
    Suite,
    draws_of,
    exposures_needed,
    independent,
    suite_coverage,
    suite_from_resolved,
)

STRENGTH = 3
SENSITIVITIES = (1.0, 0.65, 0.3)
"""Chances that one exposure to a trigger shows, for which the detectable share is given."""
LEVEL = 0.95

Settings = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Hits:
    """Conditions that may be triggered ones."""

    count: int | None
    """None where nobody knows: which conditions are flagged is relative to the run's own, so it is no count of hits."""
    how: str
    """How they were counted, or why they were not."""
    searched: Searched | None


def fill_coverage(
    builder: Builder, folder: RunFolder, settings: Settings, conditions: pl.DataFrame, scores: pl.DataFrame,
    *, hits: Hits,
) -> dict[str, Any]:  # fmt: skip
    """Fill the tables of coverage and return the fact `coverage` for table `run`, or `coverage_reason` without it.

    An exposure is a condition with a screen score. Scope `ledger` adds what earlier runs of the ledger asked; a cell
    that two runs asked counts once, because the same cell with the same seed gives the same answer.
    """
    suite = suite_from_resolved(settings["suite"], name=str(folder.settings))
    exposures = exposures_needed(SENSITIVITY, miss=MISS)
    measured = conditions.join(scores.filter(pl.col("score").is_not_null()), on="condition_id", how="semi")
    cells = measured["grid_index"].to_numpy()
    scopes = {"run": cells} | _with_earlier(folder, settings, cells)
    try:
        counted = {
            scope: suite_coverage(suite, asked, strength=STRENGTH, exposures=exposures)
            for scope, asked in scopes.items()
        }
    except InputError as error:  # the exclusions are too entangled to say what is possible
        return {"coverage_reason": str(error)}
    for scope, (columns, found) in counted.items():
        _append(builder, scope, columns, found)
    builder.append("coverage_columns", _columns(columns))
    contexts, how = independent(suite, len(cells))
    builder.append("detectable", _detectable(contexts, hits))
    facts = {
        "sensitivity": SENSITIVITY,
        "miss": MISS,
        "exposures": exposures,
        "conditions": len(cells),
        "unlisted": {scope: found.unlisted for scope, (_, found) in counted.items()},
        "contexts": contexts,
        "contexts_how": how,
        "hits": hits.count,
        "hits_how": hits.how,
        "pools": _pools(suite, cells),
        "ledger": _ledger(suite, settings, scopes),
        "search": _search(hits.searched),
    }
    return {"coverage": facts}


def count_hits(facts: pl.DataFrame, *, threshold: float | None, searched: Searched | None) -> Hits:
    """What a search that had nothing left to ask leaves of the conditions.

    `facts` has score, code_finding_excess and every factor.

    Above the threshold there are by construction few conditions that no rule explains, so without a search their
    number says nothing about how many are triggered.
    """
    if threshold is None:
        return Hits(None, "no condition has a score", searched)
    if searched is None:
        return Hits(None, "no search has asked high conditions again", searched)
    if not searched.exhausted:
        return Hits(None, "the search ended before it had asked everything", searched)
    tested = [*searched.tested, *(each.tested for each in searched.sentinels if each.tested is not None)]
    fired = [_holds(each.levels) & _fires(each, threshold) for each in tested if each.status == "CONFIRMED"]
    undecided = [_holds(each.levels) for each in tested if each.status == "INCONCLUSIVE"]
    undecided += [_holds(each.levels) for each in searched.untested]
    hit = facts.filter(pl.col("score").is_not_null() & pl.any_horizontal([pl.lit(False), *fired, *undecided]))
    how = (
        "conditions that fire inside a confirmed rule and all conditions inside an undecided one; the search asked the "
        "highest of the others again and none of them fired as a rule"
    )
    return Hits(hit.height, how, searched)


def _fires(tested: Tested, threshold: float) -> pl.Expr:
    return pl.col(EXCESS) > 0 if tested.flagged_by == EXCESS else pl.col("score") > threshold


def _holds(rule: Mapping[str, Sequence[str]]) -> pl.Expr:
    return pl.all_horizontal([pl.col(factor).is_in(list(levels)) for factor, levels in rule.items()])


def _with_earlier(folder: RunFolder, settings: Settings, cells: np.ndarray) -> dict[str, np.ndarray]:
    if settings.get("ledger") is None:
        return {}
    earlier = read_parquet(folder.earlier)["grid_index"].to_numpy()
    return {"ledger": np.unique(np.concatenate([earlier, cells]))}


def _append(builder: Builder, scope: str, columns: Sequence[Column], found: Coverage) -> None:
    totals = [{"scope": scope, "strength": t, **found.total(t)._asdict()} for t in range(1, STRENGTH + 1)]
    builder.append("coverage", _frame(totals, ("strength", "sets", "uncounted", "possible", "once", "often")))
    names = [column.name for column in columns]
    pairs = [
        {
            "scope": scope, "first": names[each.columns[0]], "second": names[each.columns[1]],
            "possible": each.possible, "once": each.once, "often": each.often, "least": each.least,
        }
        for each in found.exposed if len(each.columns) == 2
    ]  # fmt: skip
    builder.append("coverage_pairs", _frame(pairs, ("possible", "once", "often", "least")))
    listed = [
        {
            "scope": scope, "rank": rank, "exposures": each.exposures, "share": each.share,
            "levels": json.dumps(_levels(columns, each.columns, each.levels), ensure_ascii=False),
        }
        for rank, each in enumerate(found.underexposed, start=1)
    ]  # fmt: skip
    builder.append("underexposed", _frame(listed, ("rank", "exposures")))


def _levels(columns: Sequence[Column], chosen: Sequence[int], levels: Sequence[int]) -> dict[str, str]:
    pairs = zip(chosen, levels, strict=True)
    return {columns[column].name: columns[column].levels[level] for column, level in pairs}


def _columns(columns: Sequence[Column]) -> pl.DataFrame:
    rows = [
        {"name": each.name, "position": place, "kind": each.kind, "source": each.source, "n_levels": len(each.levels)}
        for place, each in enumerate(columns)
    ]
    return pl.DataFrame(rows, schema_overrides={"source": pl.String})


def _detectable(contexts: int, hits: Hits) -> pl.DataFrame:
    silent = prevalence_bound(0, contexts, sensitivity=SENSITIVITIES, level=LEVEL)
    count = None if hits.count is None else min(hits.count, contexts)
    known = [None] * len(SENSITIVITIES)
    if count is not None:
        known = prevalence_bound(count, contexts, sensitivity=SENSITIVITIES, level=LEVEL).tolist()
    columns = {"sensitivity": SENSITIVITIES, "share": silent, "bound": pl.Series(known, dtype=pl.Float64)}
    return pl.DataFrame(columns).with_columns(
        contexts=pl.lit(contexts, pl.Int64),
        hits=pl.lit(count, pl.Int64),
        reason=pl.lit(hits.how if count is None else None, pl.String),
    )


def _pools(suite: Suite, cells: np.ndarray) -> dict[str, Any]:
    """Pooled factor -> its number of levels, and the conditions in which exactly one of them was present."""
    grid = Grid(suite)
    found = {}
    for name, pool in suite.pools.items():
        strides = np.array([grid.strides[grid.names.index(axis)] for axis in pool.axes.values()], dtype=np.int64)
        present = np.zeros(len(cells), dtype=np.int64)
        for stride in strides:
            present += cells // stride % 2
        found[name] = {"levels": len(pool.axes), "alone": int((present == 1).sum())}
    return found


def _ledger(suite: Suite, settings: Settings, scopes: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    if "ledger" not in scopes:
        return None
    runs = len(settings["earlier_runs"]) + 1
    return {"runs": runs, "passes": runs * draws_of(suite), "conditions": len(scopes["ledger"])}


def _search(searched: Searched | None) -> dict[str, Any] | None:
    names = ("calls_spent", "exhausted", "wide")
    return None if searched is None else {name: getattr(searched, name) for name in names}


def _frame(rows: Rows, counts: Sequence[str]) -> pl.DataFrame:
    """`rows` with whole numbers in the columns `counts`; without a column where there is no row."""
    return pl.DataFrame(list(rows), schema_overrides=dict.fromkeys(counts, pl.Int64)) if rows else pl.DataFrame()
