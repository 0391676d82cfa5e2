"""Small multiples: the flagged share of every level, one panel a factor."""

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from diffbehav.figures import style


def factor_marginals(
    frame: pl.DataFrame, *, verb: str = "flagged", title: str = "Flagged share of every level", columns: int = 1
) -> go.Figure:
    """Dot and exact 95 % interval per level; all panels share the scale 0 to 1; untested levels are crosses.

    `frame` has one row per level in display order: `factor`, `level`, `n`, `flagged`, `low`, `high`; optionally
    `noise_low` and `noise_high`, the share of the trusted model against itself, and `link`, given back by a click.
    The panels stand in so many `columns`.
    """
    panels = [panel for _, panel in frame.group_by("factor", maintain_order=True)]
    lines = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    sizes = [max(panel.height for panel in line) for line in lines]
    figure = make_subplots(
        rows=len(lines),
        cols=columns,
        row_heights=[size + 1 for size in sizes],
        vertical_spacing=0.25 / max(2, len(lines)) if columns > 1 else 0.12 / max(1, len(lines)),
        horizontal_spacing=0.13,
        subplot_titles=[style.label(panel["factor"][0]) for panel in panels],
    )
    for i, panel in enumerate(panels):
        place = {"row": i // columns + 1, "col": i % columns + 1}
        figure.add_trace(_tested_trace(panel.filter(pl.col("n") > 0), verb), **place)
        figure.add_trace(_untested_trace(panel.filter(pl.col("n") == 0)), **place)
        order = [style.label(level) for level in panel["level"]]
        figure.update_yaxes(categoryorder="array", categoryarray=order, **place)
    figure.update_layout(style.layout(title=title, height=140 + 70 * len(lines) + 24 * sum(sizes)))
    figure.update_layout(showlegend=False)
    if "noise_high" in frame.columns and frame["noise_high"][0] is not None:
        band = {"x0": frame["noise_low"][0], "x1": frame["noise_high"][0]}
        figure.add_vrect(**band, fillcolor=style.BAND, line_width=0, layer="below")
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", gridcolor=style.GRID, zeroline=False)
    figure.update_yaxes(type="category", autorange="reversed", automargin=True)
    figure.update_xaxes(title={"text": f"{verb}: share, exact 95 % interval"}, row=len(lines), col=1)
    return figure


def _tested_trace(levels: pl.DataFrame, verb: str) -> go.Scatter:
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
        text=[style.hover({row["factor"]: row["level"]}, row, verb=verb) for row in levels.iter_rows(named=True)],
        customdata=levels["link"].to_list() if "link" in levels.columns else None,
        hoverinfo="text",
    )


def _untested_trace(levels: pl.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=[0.0] * levels.height,
        y=[style.label(level) for level in levels["level"]],
        mode="markers",
        marker={"symbol": "x-thin", "size": 10, "line": {"width": 1.5, "color": style.MUTED}},
        text=[style.hover({row["factor"]: row["level"]}, row) for row in levels.iter_rows(named=True)],
        hoverinfo="text",
    )
