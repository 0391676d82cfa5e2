"""A square of all pairs of factors, coloured from 0 to 1; a stroke where there is no such pair."""

from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style

Cell = Mapping[str, Any]


def pair_matrix(
    frame: pl.DataFrame, *, value: Callable[[Cell], float | None], hover: Callable[[Cell], str], bar: str
) -> go.Figure:
    """`frame` has a row per ordered pair, `first` down and `second` across; `link`, where it has one, is given back by
    a click. `hover` gives text that is safe in a figure, `bar` is the title of the colour bar.
    """
    names = frame["first"].unique(maintain_order=True).to_list()
    cells = {(cell["first"], cell["second"]): cell for cell in frame.iter_rows(named=True)}
    grid = [[cells[row, column] for column in names] for row in names]
    labels = [style.label(name) for name in names]
    blank = [cell for cell in cells.values() if value(cell) is None]
    figure = go.Figure(
        [
            go.Heatmap(
                x=labels,
                y=labels,
                z=[[value(cell) for cell in line] for line in grid],
                text=[[hover(cell) for cell in line] for line in grid],
                customdata=[[cell.get("link") for cell in line] for line in grid],
                texttemplate="%{z:.0%}",
                hoverinfo="text",
                colorscale=style.SCALE,
                zmin=0,
                zmax=1,
                xgap=2,
                ygap=2,
                colorbar={"title": {"text": bar}, "tickformat": ".0%", "thickness": 14},
            ),
            go.Scatter(
                x=[style.label(cell["second"]) for cell in blank],
                y=[style.label(cell["first"]) for cell in blank],
                mode="markers",
                marker={"symbol": "line-ne", "size": 14, "line": {"width": 1.2, "color": style.MUTED}},
                text=[hover(cell) for cell in blank],
                hoverinfo="text",
                showlegend=False,
            ),
        ],
        layout=style.layout(title="", height=170 + 30 * len(names)),
    )
    figure.update_layout(margin={"t": 20})
    figure.update_xaxes(type="category", showgrid=False, automargin=True)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, automargin=True)
    return figure
