"""Which rules, and how strong: every slice at once, the rules, what they explain, the paths of flagged conditions."""

from collections.abc import Mapping, Sequence
from math import inf, log10
from typing import Any, NamedTuple
from urllib.parse import urlencode

import plotly.graph_objects as go
import polars as pl
from dash import html

from dashboards.charts import Chart
from dashboards.elements import ROWS, Children, chart, chips, finding_card, pager
from dashboards.interactions import strongest
from dashboards.runs import OpenRun
from dashboards.view import View
from diffbehav.figures import parallel_paths, rule_icicle, volcano
from diffbehav.figures.volcano import ACROSS, UP
from diffbehav.report import words
from diffbehav.report.rule_levels import allowed
from diffbehav.store import quoted

PATH = ("findings",)
TITLE = "Findings"
KINDS = ("", "tool_call", "code", "text", "distribution")
SORTS = {"rank": "best first", "effect": "largest effect", "n": "most conditions"}
POINTS = 400
"""Slices drawn one by one, the most surprising ones."""
EFFECT = 0.05
"""The excess of a flagged share that a benign fine-tune may show."""
CAP = 16.0
PATHS = 200
SLICES = """
    WITH total AS (SELECT n, n_flagged FROM slices WHERE factor_a IS NULL),
    slice AS (
        SELECT s.factor_a, s.level_a, s.factor_b, s.level_b, s.n, s.n_flagged,
               s.n_flagged / s.n AS inside, (t.n_flagged - s.n_flagged) / (t.n - s.n) AS outside
        FROM slices s, total t WHERE s.factor_a IS NOT NULL AND s.n > 0 AND s.n < t.n
    )
    SELECT *, inside - outside AS effect,
           CASE WHEN inside <= outside THEN 0 ELSE least($cap, n / ln(10) * (
               inside * ln(inside / greatest(outside, 0.5 / $total))
               + CASE WHEN inside < 1
                      THEN (1 - inside) * ln((1 - inside) / (1 - greatest(outside, 0.5 / $total))) ELSE 0 END
           )) END AS surprise
    FROM slice
"""
"""Surprise: -log10 of the Chernoff bound of the binomial tail, which the tail is never above."""


def page(run: OpenRun, view: View) -> list[Children]:
    """The findings page; `k` a kind, `sort` an order, `p` a page of rules."""
    kind, sort = view.choice("k", KINDS), view.choice("sort", list(SORTS))
    found = [finding for finding in run.findings if kind in ("", finding.kind)]
    if sort == "effect":
        found.sort(key=lambda finding: _last_without(finding.effect))
    elif sort == "n":
        found.sort(key=lambda finding: _last_without(finding.n))
    first = view.number("p") * ROWS
    cards = html.Ol([finding_card(run, finding) for finding in found[first : first + ROWS]], className="rules")
    return [
        chips("kind", [(each.replace("_", " ") or "all", view.href(k=each or None), each == kind) for each in KINDS]),
        chips("order", [(text, view.href(sort=key), key == sort) for key, text in SORTS.items()]),
        cards if found else html.P("No rule of this kind separated the two models in what was tested."),
        pager(view, total=len(found)) if len(found) > ROWS else "",
        chart("volcano", CHARTS["volcano"], run, view),
        chart("icicle", CHARTS["icicle"], run, view),
        chart("paths", CHARTS["paths"], run, view),
    ]


def _last_without(value: float | None) -> float:
    """A sort key: the largest first, and last what is missing."""
    return inf if value is None else -value


def slices(run: OpenRun) -> pl.DataFrame:
    """Every level and pair of levels with its effect and surprise."""
    total = run.query("SELECT n FROM slices WHERE factor_a IS NULL")[0][0]
    texts = ("factor_a", "level_a", "factor_b", "level_b")
    schema: dict[str, Any] = dict.fromkeys(texts, pl.String) | {"n": pl.Int64, "flagged": pl.Int64}
    schema |= dict.fromkeys(("inside", "outside", "effect", "surprise"), pl.Float64)
    return pl.DataFrame(run.query(SLICES, cap=CAP, total=max(1, total)), schema=schema, orient="row")


def _volcano_frame(run: OpenRun, _view: View) -> pl.DataFrame | str:
    frame = slices(run)
    if frame.is_empty():
        return "No condition has a screen score."
    second = (
        pl.when(pl.col("factor_b").is_null())
        .then(pl.lit(""))
        .otherwise(pl.format(" and {} = {}", pl.col("factor_b").fill_null(""), pl.col("level_b").fill_null("")))
    )
    frame = frame.sort("surprise", "effect", descending=True)
    keys = frame.head(POINTS).select("factor_a", "level_a", "factor_b", "level_b").iter_rows(named=True)
    links = [_explore(run, key) for key in keys]
    return frame.select(
        pl.format("{} = {}{}", "factor_a", "level_a", second).alias("rule"),
        "n", "flagged", "inside", "outside", "effect", "surprise",
        link=pl.Series(links + [None] * (frame.height - len(links)), dtype=pl.String),
    )  # fmt: skip


def _explore(run: OpenRun, key: Mapping[str, str | None]) -> str:
    filters = [f"{key['factor_a']}:{key['level_a']}"]
    chosen = [("x", str(key["factor_a"]))]
    if key["factor_b"] is not None:
        filters.append(f"{key['factor_b']}:{key['level_b']}")
        chosen.append(("y", key["factor_b"]))
    return run.href("explore") + "?" + urlencode([*chosen, *(("f", each) for each in filters)])


def _draw_volcano(frame: pl.DataFrame, _run: OpenRun, _view: View) -> go.Figure:
    threshold = _line(frame.height)
    bins = (
        frame.select(
            effect=(pl.col("effect") / ACROSS).round() * ACROSS,
            surprise=(pl.col("surprise") / UP).round() * UP,
        )
        .group_by("effect", "surprise")
        .agg(slices=pl.len())
    )
    past = frame.filter((pl.col("effect") > EFFECT) & (pl.col("surprise") > threshold)).head(POINTS)
    return volcano(bins, past, m=frame.height, effect=EFFECT, surprise=threshold)


def _line(m: int) -> float:
    """-log10(0.05 / m)."""
    return min(CAP, log10(m / 0.05)) if m else 0.0


class _Clause(NamedTuple):
    factor: str
    levels: Sequence[str]


def _clauses(run: OpenRun) -> list[_Clause]:
    """What the rules of the best findings ask of single factors, at most four, without repetition."""
    found: dict[str, _Clause] = {}
    for finding in run.findings:
        for name, levels in finding.rule.items():
            known = next((each for each in run.factors if each.name == name), None)
            if known is not None and name not in found:
                found[name] = _Clause(name, allowed(levels, [level.name for level in known.levels]))
    if not found:
        for name in strongest(run, 2):
            best = run.query(
                "SELECT level_a FROM slices WHERE factor_a = $f AND factor_b IS NULL AND n > 0 ORDER BY n_flagged / n "
                "DESC LIMIT 1",
                f=name,
            )
            found[name] = _Clause(name, [best[0][0]] if best else [])
    return list(found.values())[:4]


def _icicle_frame(run: OpenRun, _view: View) -> pl.DataFrame | str:
    clauses = _clauses(run)
    if not clauses:
        return "The suite has no factors."
    tests = ", ".join(f"list_contains($in_{i}, {quoted(clause.factor)}) AS c{i}" for i, clause in enumerate(clauses))
    sets = ", ".join("(" + ", ".join(f"c{i}" for i in range(depth)) + ")" for depth in range(len(clauses) + 1))
    columns = ", ".join(f"c{i}" for i in range(len(clauses)))
    rows = run.query(
        f"""
        SELECT {columns}, count(flagged), count(*) FILTER (flagged) FROM (SELECT {tests}, flagged FROM outcomes)
        GROUP BY GROUPING SETS ({sets}) HAVING count(flagged) > 0
        """,
        **{f"in_{i}": list(clause.levels) for i, clause in enumerate(clauses)},
    )
    nodes = [_node(row, clauses, run) for row in rows]
    frame = pl.DataFrame(
        nodes, schema=["id", "parent", "label", "n", "flagged", "link"], orient="row", infer_schema_length=None
    )
    return frame.sort(pl.col("id").str.len_chars(), "id", descending=[False, True])


def _node(row: Sequence[Any], clauses: Sequence[_Clause], run: OpenRun) -> tuple[Any, ...]:
    flags = [flag for flag in row[: len(clauses)] if flag is not None]
    identity = "r" + "".join("1" if flag else "0" for flag in flags)
    if not flags:
        return identity, "", "all conditions", row[-2], row[-1], run.href("explore")
    clause = clauses[len(flags) - 1]
    levels = words.rule_in_words({clause.factor: list(clause.levels)}).replace("`", "")
    held = [
        f"{each.factor}:{level}" for each, flag in zip(clauses, flags, strict=False) if flag for level in each.levels
    ]
    link = run.href("explore") + "?" + urlencode([("f", each) for each in held[:60]])
    return identity, identity[:-1], levels if flags[-1] else f"other {clause.factor}", row[-2], row[-1], link


def _draw_icicle(frame: pl.DataFrame, _run: OpenRun, _view: View) -> go.Figure:
    return rule_icicle(frame)


def _path_names(run: OpenRun) -> list[str]:
    ruled = [clause.factor for clause in _clauses(run)]
    return [*ruled, *(name for name in strongest(run, 5) if name not in ruled)][: min(4, len(ruled) + 2)]


def _paths_frame(run: OpenRun, _view: View) -> pl.DataFrame | str:
    names = _path_names(run)
    if not names:
        return "The suite has no factors."
    inside = {clause.factor: list(clause.levels) for clause in _clauses(run)}
    columns = ", ".join(_gathered(name, i) for i, name in enumerate(names))
    values = {f"kept_{i}": _kept(run, name, inside.get(name, [])) for i, name in enumerate(names)}
    grouped = ", ".join(f"level_{i}" for i in range(len(names)))
    rows = run.query(
        f"""
        SELECT {grouped}, flagged, count(*) AS conditions FROM (SELECT {columns}, flagged FROM outcomes)
        WHERE flagged IS NOT NULL GROUP BY ALL ORDER BY flagged DESC, conditions DESC LIMIT {PATHS}
        """,
        **values,
    )
    schema: dict[str, Any] = {f"level_{i}": pl.String for i in range(len(names))}
    return pl.DataFrame(rows, schema=schema | {"flagged": pl.Boolean, "conditions": pl.Int64}, orient="row")


def _gathered(name: str, i: int) -> str:
    return (
        f"CASE WHEN list_contains($kept_{i}, {quoted(name)}) THEN {quoted(name)} ELSE 'other levels' END AS level_{i}"
    )


def _kept(run: OpenRun, name: str, inside: Sequence[str]) -> list[str]:
    """At most five levels: those of the rule, then those with the largest flagged share."""
    rows = run.query(
        "SELECT level_a FROM slices WHERE factor_a = $f AND factor_b IS NULL AND n > 0 ORDER BY n_flagged / n DESC "
        "LIMIT 6",
        f=name,
    )
    return list(dict.fromkeys([*inside[:5], *(row[0] for row in rows)]))[: 6 if len(rows) == 6 else len(rows)]


def _draw_paths(frame: pl.DataFrame, run: OpenRun, _view: View) -> go.Figure:
    return parallel_paths(frame, names=_path_names(run))


CHARTS = {
    "volcano": Chart(
        "Every level and pair of levels", _volcano_frame, _draw_volcano,
        "Grey: number of slices. Diamonds: slices past both dashed lines, an excess of 5 points and 0.05 over the "
        "number of slices; at most 400. The values rank slices. They are no p-values: the threshold comes from the "
        "same data, and rules are confirmed on fresh data only. Click a diamond to explore it.",
    ),
    "icicle": Chart(
        "What the rules explain", _icicle_frame, _draw_icicle,
        "The conditions divided by what the best rules ask of one factor after the other. Width of a block: "
        "conditions; colour: their flagged share.",
    ),
    "paths": Chart(
        "Paths of flagged conditions", _paths_frame, _draw_paths,
        "Bands are conditions, the coloured ones flagged. Levels beyond the most flagged are gathered.",
    ),
}  # fmt: skip
