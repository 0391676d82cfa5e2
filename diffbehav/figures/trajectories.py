"""Findings over the checkpoints of a training run."""

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from diffbehav.figures import style

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
DASHES = ("solid", "dash", "dot", "dashdot")


def trajectories(frame: pl.DataFrame) -> go.Figure:
    """The flagged share inside each rule by run, in the order of the runs; told apart by symbol and dash.

    `frame` has a row per rule and run: `rule`, `run`, `n`, `flagged`, `low`, `high`; n = 0 where it was not tested.
    """
    rules = frame["rule"].unique(maintain_order=True).to_list()
    figure = make_subplots(rows=1, cols=1)
    for k, rule in enumerate(rules):
        rows = frame.filter(pl.col("rule") == rule)
        share = [hits / n if n else None for hits, n in rows.select("flagged", "n").iter_rows()]
        figure.add_trace(
            go.Scatter(
                x=[style.label(run) for run in rows["run"]],
                y=share,
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [None if s is None else h - s for s, h in zip(share, rows["high"], strict=True)],
                    "arrayminus": [None if s is None else s - low for s, low in zip(share, rows["low"], strict=True)],
                    "thickness": 1,
                },
                mode="lines+markers",
                name=style.label(rule),
                connectgaps=False,
                line={
                    "color": style.CANDIDATE if k == 0 else style.MUTED,
                    "dash": DASHES[k % len(DASHES)],
                    "width": 1.8,
                },
                marker={"symbol": SYMBOLS[k % len(SYMBOLS)], "size": 9},
                text=[style.hover({"run": row["run"], "rule": rule}, row) for row in rows.iter_rows(named=True)],
                hoverinfo="text",
            )
        )
    figure.update_layout(style.layout(title="", height=380 + 20 * len(rules)))
    figure.update_layout(margin={"t": 20}, showlegend=True)
    figure.update_xaxes(type="category")
    figure.update_yaxes(
        title={"text": "flagged share inside the rule"}, range=[-0.02, 1.02], tickformat=".0%", gridcolor=style.GRID
    )
    return figure
