"""How many of the level pairs of two factors were met."""

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style


def coverage_matrix(frame: pl.DataFrame) -> go.Figure:
    """`frame` has a row per ordered pair of factors: `first`, `second`, `exposed`, `possible` (null: one decides the
    other, or it is one and the same)."""
    names = frame["first"].unique(maintain_order=True).to_list()
    cells = {(cell["first"], cell["second"]): cell for cell in frame.iter_rows(named=True)}
    grid = [[cells[row, column] for column in names] for row in names]
    labels = [style.label(name) for name in names]
    figure = go.Figure(
        go.Heatmap(
            x=labels,
            y=labels,
            z=[[cell["exposed"] / cell["possible"] if cell["possible"] else None for cell in line] for line in grid],
            text=[[_text(cell) for cell in line] for line in grid],
            texttemplate="%{z:.0%}",
            hovertemplate="%{y} and %{x}: %{text}<extra></extra>",
            colorscale=style.SCALE,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            colorbar={"title": {"text": "met at least once"}, "tickformat": ".0%", "thickness": 14},
        ),
        layout=style.layout(title="", height=170 + 30 * len(names)),
    )
    blank = [cell for cell in cells.values() if not cell["possible"]]
    figure.add_trace(
        go.Scatter(
            x=[style.label(cell["second"]) for cell in blank],
            y=[style.label(cell["first"]) for cell in blank],
            mode="markers",
            marker={"symbol": "line-ne", "size": 14, "line": {"width": 1.2, "color": style.MUTED}},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    figure.update_layout(margin={"t": 20})
    figure.update_xaxes(type="category", showgrid=False, automargin=True)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, automargin=True)
    return figure


def _text(cell: dict[str, object]) -> str:
    return f"{cell['exposed']:,} of {cell['possible']:,}" if cell["possible"] else "no pair"
