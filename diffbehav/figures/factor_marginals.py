"""Small multiples: the flagged share of every level, one panel a factor."""

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from diffbehav.figures import style


def factor_marginals(frame: pl.DataFrame) -> go.Figure:
    """Dot and exact 95 % interval per level; all panels share the scale 0 to 1; untested levels are crosses.

    `frame` has one row per level in display order: `factor`, `level`, `n`, `flagged`, `low`, `high`.
    """
    factors = frame["factor"].unique(maintain_order=True).to_list()
    sizes = [frame.filter(pl.col("factor") == factor).height for factor in factors]
    figure = make_subplots(
        rows=len(factors),
        cols=1,
        shared_xaxes=True,
        row_heights=[size + 1 for size in sizes],
        vertical_spacing=0.12 / max(1, len(factors)),
        subplot_titles=[style.label(factor) for factor in factors],
    )
    for row, factor in enumerate(factors, start=1):
        levels = frame.filter(pl.col("factor") == factor)
        figure.add_trace(_tested_trace(levels.filter(pl.col("n") > 0)), row=row, col=1)
        figure.add_trace(_untested_trace(levels.filter(pl.col("n") == 0)), row=row, col=1)
        order = [style.label(level) for level in levels["level"]]
        figure.update_yaxes(
            type="category",
            categoryorder="array",
            categoryarray=order,
            autorange="reversed",
            automargin=True,
            row=row,
            col=1,
        )
    height = 140 + 60 * len(factors) + 24 * sum(sizes)
    figure.update_layout(style.layout(title="Flagged share of every level", height=height))
    figure.update_layout(showlegend=False)
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", gridcolor=style.GRID, zeroline=False)
    figure.update_xaxes(title={"text": "flagged share, exact 95 % interval"}, row=len(factors), col=1)
    return figure


def _tested_trace(levels: pl.DataFrame) -> go.Scatter:
    shares = [k / n for k, n in zip(levels["flagged"], levels["n"], strict=True)]
    return go.Scatter(
        x=shares,
        y=[style.label(level) for level in levels["level"]],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - share for high, share in zip(levels["high"], shares, strict=True)],
            "arrayminus": [share - low for low, share in zip(levels["low"], shares, strict=True)],
            "thickness": 1.5,
            "width": 4,
        },
        mode="markers",
        marker={"color": style.CANDIDATE, "size": 9},
        text=[style.hover({row["factor"]: row["level"]}, row) for row in levels.iter_rows(named=True)],
        hoverinfo="text",
    )


def _untested_trace(levels: pl.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=[0.0] * levels.height,
        y=[style.label(level) for level in levels["level"]],
        mode="markers",
        marker={"symbol": "x-thin", "size": 10, "line": {"width": 1.5, "color": "#6b7480"}},
        text=[style.hover({row["factor"]: row["level"]}, row) for row in levels.iter_rows(named=True)],
        hoverinfo="text",
    )
