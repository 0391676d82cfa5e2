"""What the candidate said by what it did."""

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style


def said_did(frame: pl.DataFrame) -> go.Figure:
    """`frame` has a row per cell in display order: `said`, `did`, `n` (0 where nothing was), `flagged`, `link`."""
    rows = frame["said"].unique(maintain_order=True).to_list()
    columns = frame["did"].unique(maintain_order=True).to_list()
    cells = {(cell["said"], cell["did"]): cell for cell in frame.iter_rows(named=True)}
    grid = [[cells[row, column] for column in columns] for row in rows]
    figure = go.Figure(
        go.Heatmap(
            x=columns,
            y=rows,
            z=[[cell["flagged"] / cell["n"] if cell["n"] else None for cell in line] for line in grid],
            text=[[f"{cell['n']:,}" if cell["n"] else "" for cell in line] for line in grid],
            customdata=[[cell["link"] for cell in line] for line in grid],
            texttemplate="%{text}",
            hovertemplate="said: %{y}<br>did: %{x}<br>%{text} conditions, %{z:.1%} flagged<extra></extra>",
            colorscale=style.SCALE,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            colorbar={"title": {"text": "flagged share"}, "tickformat": ".0%", "thickness": 14},
        ),
        layout=style.layout(title="", height=170 + 44 * len(rows)),
    )
    figure.update_layout(margin={"t": 20})
    figure.update_xaxes(title={"text": "what it did, against the trusted calls"}, type="category", showgrid=False)
    figure.update_yaxes(
        title={"text": "what it said"}, type="category", autorange="reversed", showgrid=False, automargin=True
    )
    return figure
