"""Heat map of the flagged share over the levels of two factors."""

from typing import Any

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style

UNTESTED = "not tested"
WRITTEN = 400
"""Up to this many cells, the share is written in each."""


def pair_heatmap(frame: pl.DataFrame, *, x: str, y: str) -> go.Figure:
    """Flagged share in every cell, always on the scale 0 to 1; untested cells are crosses, never a colour.

    `frame` has one row per cell in display order, with the two factors and `n`, `flagged`, `low`, `high`
    (exact 95 % interval) and `max_score`; an untested cell has n = 0 and no numbers.
    """
    columns = frame[x].unique(maintain_order=True).to_list()
    rows = frame[y].unique(maintain_order=True).to_list()
    cells = {(cell[x], cell[y]): cell for cell in frame.iter_rows(named=True)}
    figure = go.Figure(
        go.Heatmap(
            x=[style.label(level) for level in columns],
            y=[style.label(level) for level in rows],
            z=[[_share(cells.get((column, row))) for column in columns] for row in rows],
            text=[[_hover(cells.get((column, row)), x, y) for column in columns] for row in rows],
            texttemplate="%{z:.0%}" if len(cells) <= WRITTEN else None,
            hoverinfo="text",
            colorscale=style.SCALE,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            colorbar={"title": {"text": "flagged share"}, "tickformat": ".0%", "thickness": 14},
        ),
        layout=style.layout(
            title=f"Flagged share by {style.label(x)} and {style.label(y)}", height=180 + 34 * len(rows)
        ),
    )
    figure.add_trace(_crosses([cell for cell in cells.values() if cell["n"] == 0], x, y))
    figure.update_xaxes(title={"text": style.label(x)}, type="category", showgrid=False, automargin=True)
    figure.update_yaxes(
        title={"text": style.label(y)}, type="category", autorange="reversed", showgrid=False, automargin=True
    )
    return figure


def _crosses(untested: list[dict[str, Any]], x: str, y: str) -> go.Scatter:
    return go.Scatter(
        x=[style.label(cell[x]) for cell in untested],
        y=[style.label(cell[y]) for cell in untested],
        mode="markers",
        marker={"symbol": "x-thin", "size": 12, "line": {"width": 1.5, "color": style.MUTED}},
        name=UNTESTED,
        showlegend=bool(untested),
        text=[_hover(cell, x, y) for cell in untested],
        hoverinfo="text",
    )


def _share(cell: dict[str, Any] | None) -> float | None:
    return cell["flagged"] / cell["n"] if cell and cell["n"] else None


def _hover(cell: dict[str, Any] | None, x: str, y: str) -> str:
    return style.hover({x: cell[x], y: cell[y]}, cell) if cell else UNTESTED
