"""Runs of one suite over time: findings that are new, persist or are resolved, and the flagged share."""

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from diffbehav.figures import style

STATES = {"new": (style.CANDIDATE, ""), "persisting": (style.MUTED, "/"), "resolved": (style.TRUSTED, "x")}


def nightly_trend(frame: pl.DataFrame) -> go.Figure:
    """`frame` has a row per run, oldest first: `created`, `run`, `new`, `persisting`, `resolved`, `share`, `low`,
    `high`, `series` (runs that may be joined by a line) and `changed` (what is different from the run before, or null).
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    labels = [style.label(f"{run} {created[:10]}") for run, created in frame.select("run", "created").iter_rows()]
    for state, (colour, pattern) in STATES.items():
        bar = {"color": colour, "pattern": {"shape": pattern, "fgcolor": style.PAGE, "fillmode": "overlay"}}
        figure.add_trace(go.Bar(x=labels, y=frame[state].to_list(), name=state, marker=bar), row=1, col=1)
    for k, series in enumerate(frame["series"].unique(maintain_order=True).to_list()):
        figure.add_trace(_share(frame.filter(pl.col("series") == series), first=k == 0), row=2, col=1)
    for label, changed in zip(labels, frame["changed"], strict=True):
        if changed:
            figure.add_vline(x=label, line={"color": style.INK, "dash": "dot", "width": 1})
    figure.update_layout(style.layout(title="", height=430))
    figure.update_layout(barmode="stack", margin={"t": 20}, legend={"traceorder": "normal"})
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=labels)
    figure.update_yaxes(title={"text": "findings"}, gridcolor=style.GRID, tickformat=",d", nticks=4, row=1, col=1)
    figure.update_yaxes(
        title={"text": "flagged share"}, tickformat=".1%", rangemode="tozero", gridcolor=style.GRID, row=2, col=1
    )
    return figure


def _share(rows: pl.DataFrame, *, first: bool) -> go.Scatter:
    shares = rows["share"].to_list()
    return go.Scatter(
        x=[style.label(f"{run} {created[:10]}") for run, created in rows.select("run", "created").iter_rows()],
        y=shares,
        error_y={
            "type": "data",
            "symmetric": False,
            "array": (rows["high"] - rows["share"]).to_list(),
            "arrayminus": (rows["share"] - rows["low"]).to_list(),
        },
        mode="lines+markers",
        name="flagged share, exact 95 % interval",
        line={"color": style.CANDIDATE, "width": 1.5},
        showlegend=first,
    )
