"""Which levels of which factors: heat map with facets, every level for itself, the simulated date."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from dash import html

from dashboards.charts import Chart
from dashboards.elements import (
    ROWS,
    Children,
    axes,
    chart,
    chips,
    filter_row,
    link,
    menu,
    number,
    pager,
    share,
    shown,
    table,
)
from dashboards.interactions import strongest
from dashboards.runs import OpenRun
from dashboards.view import View
from diffbehav.figures import date_timeline, factor_marginals, share_grid
from diffbehav.figures.share_grid import VALUES
from diffbehav.report.counts import MEASURES, Measure, counts, where
from diffbehav.report.factors import date_factor
from diffbehav.report.shares import by_date, crossed, levels_of, marginals
from diffbehav.stats.change_points import change_points
from diffbehav.stats.intervals import clopper_pearson
from diffbehav.store import quoted

PATH = ("explore",)
TITLE = "Explore"
CELLS = 3_600
"""Cells of all panels together, so that an answer stays below 300 kB."""
LEVELS = 40
"""Levels of one factor among the small multiples."""
DATES = 400
"""Dates drawn one by one; more of them are gathered by month."""
CHANGE_LEVEL = 0.05
"""How likely a share that is the same on all dates has any change, at most."""


def page(run: OpenRun, view: View) -> list[Children]:
    """The explore page; the address says axes, facets, filters and measure."""
    if not run.factors:
        return [html.P("The suite has no factors.")]
    names = axes(run)
    x, y = _axes(run, view)
    measure = view.choice("m", list(MEASURES))
    value = view.choice("v", list(VALUES))
    return [
        html.Div(
            [
                menu("across", x, [(name, view.href(x=name)) for name in names]),
                menu("down", y, [(name, view.href(y=name)) for name in names]),
                _facet_menu(view, "row", "panels, rows", names),
                _facet_menu(view, "col", "panels, columns", names),
            ],
            className="controls",
        ),
        chips("measure", [(each.title, view.href(m=key), key == measure) for key, each in MEASURES.items()]),
        chips("colour", [(text, view.href(v=key), key == value) for key, text in VALUES.items()]),
        filter_row(run, view),
        chart("grid", CHARTS["grid"], run, view),
        chart("timeline", CHARTS["timeline"], run, view),
        chart("marginals", CHARTS["marginals"], run, view),
        html.H3("Conditions, the largest screen scores first"),
        *_conditions(run, view),
    ]


def _axes(run: OpenRun, view: View) -> tuple[str, str]:
    names = axes(run)
    x = view.get("x")
    x = x if x in names else (strongest(run, 1) or names)[0]
    y = view.get("y")
    if y not in names or y == x:
        y = next((name for name in [*strongest(run, 3), *names] if name != x), x)
    return x, y


def _facet(view: View, key: str, names: Sequence[str]) -> str | None:
    return view.get(key) if view.get(key) in names else None


def _facet_menu(view: View, key: str, label: str, names: Sequence[str]) -> html.Details:
    options = [("none", view.href(**{key: None})), *((name, view.href(**{key: name})) for name in names)]
    return menu(label, _facet(view, key, names), options)


def _measure(view: View) -> Measure:
    return MEASURES[view.choice("m", list(MEASURES))]


def _grid_frame(run: OpenRun, view: View) -> pl.DataFrame | str:
    x, y = _axes(run, view)
    if x == y:
        return "One axis alone: see every level for itself below."
    facets = [
        name for name in (_facet(view, "row", axes(run)), _facet(view, "col", axes(run))) if name and name not in (x, y)
    ]
    facets = list(dict.fromkeys(facets))
    most = _most(run, facets, y)
    kept = [list(_frequent(run, name, 6 if i == 0 else 4)) for i, name in enumerate(facets)]
    filters = view.filters(run.factors)
    within = {**{name: levels for name, levels in zip(facets, kept, strict=True) if name not in filters}, **filters}
    frame, hidden = crossed(
        run.query,
        run.factors,
        (*facets, y, x),
        filters=within if facets else filters,
        measure=_measure(view),
        most=most,
    )
    k = len(facets)
    named: dict[str, str | None] = {"row": None, "column": None}
    if facets and _facet(view, "row", axes(run)) == facets[0]:
        named["row"] = "level_0"
        named["column"] = "level_1" if k == 2 else None
    elif facets:
        named["column"] = "level_0"
    ids = [{level: i for i, level in enumerate(levels_of(run.query, run.factors, name))} for name in (x, y)]
    return frame.select(
        *((pl.lit(None, pl.String) if at is None else pl.col(at)).alias(name) for name, at in named.items()),
        pl.col(f"level_{k}").alias("y"),
        pl.col(f"level_{k + 1}").alias("x"),
        "n", "flagged", "low", "high", "max_score",
        x_id=pl.col(f"level_{k + 1}").replace_strict(ids[0], return_dtype=pl.Int64),
        y_id=pl.col(f"level_{k}").replace_strict(ids[1], return_dtype=pl.Int64),
        hidden=pl.lit(hidden),
    )  # fmt: skip


def _most(run: OpenRun, facets: Sequence[str], y: str) -> int:
    panels = (1, 6, 24)[len(facets)]
    rows = min(len(levels_of(run.query, run.factors, y)), int((CELLS / panels) ** 0.5))
    return max(4, CELLS // panels // max(1, rows)) if rows < 40 else int((CELLS / panels) ** 0.5)


def _frequent(run: OpenRun, name: str, most: int) -> Sequence[str]:
    """The levels of a facet: those with the largest flagged share, in the order of the suite."""
    levels = levels_of(run.query, run.factors, name)
    found = counts(run.query, (name,), filters={}, measure=MEASURES["flagged"]).filter(pl.col("n") > 0)
    best = found.sort(pl.col("flagged") / pl.col("n"), descending=True)["level_0"].head(most).to_list()
    return [level for level in levels if level in best]


def _draw_grid(frame: pl.DataFrame, run: OpenRun, view: View) -> go.Figure:
    x, y = _axes(run, view)
    measure = _measure(view)
    hidden = frame["hidden"][0] if frame.height else 0
    title = f"{measure.title} by {x} and {y}" + (
        f" ({hidden} levels with smaller shares are not drawn)" if hidden else ""
    )
    return share_grid(
        frame, x=x, y=y, value=view.choice("v", list(VALUES)), title=title.capitalize(), verb=measure.verb
    )


def _follow_grid(data: Any, run: OpenRun, view: View) -> str | None:
    """A click on a cell filters by its two levels; a browser gives back the numbers of the cell by position."""
    if not isinstance(data, dict) or not {"5", "6"} <= data.keys():
        return None
    added = []
    for name, place in zip(_axes(run, view), (data["5"], data["6"]), strict=True):
        levels = levels_of(run.query, run.factors, name)
        if not isinstance(place, int | float) or not 0 <= place < len(levels):
            return None
        added.append(f"{name}:{levels[int(place)]}")
    return view.href(f=list(dict.fromkeys([*view.values.get("f", ()), *added])))


def _lead_grid(row: Mapping[str, Any], run: OpenRun, view: View) -> str | None:
    return _follow_grid({"5": row["x_id"], "6": row["y_id"]}, run, view)


def _timeline_frame(run: OpenRun, view: View) -> pl.DataFrame | str:
    dated = date_factor(run.factors)
    if dated is None:
        return "No factor of the suite is a date."
    frame = by_date(run.query, dated, filters=view.filters(run.factors), measure=_measure(view))
    if frame.is_empty():
        return "No condition with a date is left under these filters."
    if frame.height > DATES:
        month = pl.col("date").str.head(7) + "-01"
        numbers = [pl.col(name).sum() for name in ("n", "flagged", "noise_n", "noise_flagged")]
        frame = frame.group_by(month, maintain_order=True).agg(*numbers, pl.col("max_score", "p99_score").max())
        low, high = clopper_pearson(frame["flagged"].to_numpy(), frame["n"].to_numpy(), level=0.95)
        frame = frame.with_columns(low=pl.Series(low), high=pl.Series(high))
    return _with_noise(_segmented(frame), "share_noise")


def _segmented(frame: pl.DataFrame) -> pl.DataFrame:
    """With the share between the changes around each date: `segment` (its number) and `segment_share`."""
    starts = change_points(frame["flagged"].to_numpy(), frame["n"].to_numpy(), level=CHANGE_LEVEL)
    segment = np.searchsorted(starts, np.arange(frame.height), side="right")
    share = pl.col("flagged").sum() / pl.col("n").sum()
    return frame.with_columns(segment=pl.Series(segment)).with_columns(segment_share=share.over("segment"))


def _changes(frame: pl.DataFrame) -> str:
    """The changes of the timeline in words."""
    parts = frame.group_by("segment", maintain_order=True).agg(pl.col("date", "segment_share").first()).rows()
    steps = [
        f"from {after[1]} on {share(after[2])}, before {share(before[2])}"
        for before, after in pairwise(parts)
        if before[2] != after[2]
    ]
    return f"The share changes: {'; '.join(steps)}." if steps else "The share changes on no date."


def _with_noise(frame: pl.DataFrame, prefix: str) -> pl.DataFrame:
    """The band of the trusted model against itself over the whole frame, where the measure has one."""
    n, hits = int(frame["noise_n"].sum() or 0), int(frame["noise_flagged"].sum() or 0)
    shown_frame = frame.drop("noise_n", "noise_flagged")
    if not n:
        return shown_frame
    low, high = clopper_pearson(hits, n, level=0.95)
    return shown_frame.with_columns(
        pl.lit(float(low)).alias(f"{prefix}_low"), pl.lit(float(high)).alias(f"{prefix}_high")
    )


def _draw_timeline(frame: pl.DataFrame, _run: OpenRun, view: View) -> go.Figure:
    return date_timeline(frame, verb=_measure(view).verb)


def _marginals_frame(run: OpenRun, view: View) -> pl.DataFrame | str:
    frame = marginals(run.query, run.factors, filters=view.filters(run.factors), measure=_measure(view))
    frame = frame.with_columns(
        pl.col("noise_n", "noise_flagged").sum().over("factor"),
        rank=(pl.col("flagged") / pl.col("n"))
        .fill_nan(-1.0)
        .fill_null(-1.0)
        .rank("ordinal", descending=True)
        .over("factor"),
    ).filter(pl.col("rank") <= LEVELS)
    whole = counts(run.query, (), filters=view.filters(run.factors), measure=_measure(view))
    noise = _with_noise(whole, "noise")
    if "noise_low" in noise.columns:
        frame = frame.with_columns(noise_low=pl.lit(noise["noise_low"][0]), noise_high=pl.lit(noise["noise_high"][0]))
    links = [
        view.href(f=[*view.values.get("f", ()), f"{a}:{b}"]) for a, b in frame.select("factor", "level").iter_rows()
    ]
    named = frame.select("factor", "level", pl.exclude("factor", "level", "rank", "noise_n", "noise_flagged"))
    return named.with_columns(link=pl.Series(links, dtype=pl.String))


def _draw_marginals(frame: pl.DataFrame, _run: OpenRun, view: View) -> go.Figure:
    return factor_marginals(frame, verb=_measure(view).verb, title="", columns=3)


def _conditions(run: OpenRun, view: View) -> list[Children]:
    """The conditions under the filters, a page at a time."""
    condition, values = where(view.filters(run.factors))
    total = run.query(f"SELECT count(*) FROM outcomes WHERE {condition}", **values)[0][0]
    declared = [factor.name for factor in run.factors if factor.source is None]
    columns = "".join(f", {quoted(name)}" for name in declared)
    rows = run.query(
        f"""
        SELECT condition_id, score, flagged, said, did, task{columns} FROM outcomes WHERE {condition}
        ORDER BY score DESC NULLS LAST, condition_id LIMIT {ROWS} OFFSET $offset
        """,
        offset=min(view.number("p") * ROWS, 10_000_000),
        **values,
    )
    body = [
        [
            link(row[0][:12], run.href("c", row[0]), className="mono"),
            "not measured" if row[1] is None else f"{row[1]:.2f}",
            "flagged" if row[2] else "",
            *(shown(value) if value is not None else "" for value in row[3:]),
        ]
        for row in rows
    ]
    heads = ["condition", "score", "", "said", "did", "task", *map(shown, declared)]
    return [
        html.P(f"{number(total)} conditions under the filters.", className="note"),
        pager(view, total=total),
        table(heads, body),
    ]


CHARTS = {
    "grid": Chart(
        "", _grid_frame, _draw_grid,
        "The scale is the same in every run and panel. A cross marks a combination that was not tested. Click a cell "
        "to keep only its conditions.",
        _follow_grid,
        _lead_grid,
    ),
    "timeline": Chart(
        "By simulated date", _timeline_frame, _draw_timeline,
        "The dates are levels that the models were told, not days on which anything ran. Shaded, for calls and text: "
        "the trusted model against itself with other seeds, 95 % interval. Dashed: from here on another share holds, "
        "by optimal partitioning of the counts; where one share holds on all dates and conditions are independent, "
        "there is any such line with at most 5 %. Other factors that go with the dates can make one as well.",
        said=_changes,
    ),
    "marginals": Chart(
        "Every level for itself", _marginals_frame, _draw_marginals,
        "Shaded, for calls and text: the trusted model against itself with other seeds, 95 % interval over all "
        "conditions. A screen score compares the two models only, so the flagged share has no such band; by its "
        "threshold about 0.5 % of the conditions that no rule explains are flagged. Click a dot to keep only its "
        "level.",
    ),
}  # fmt: skip
