"""Which factors matter, alone or together: one cell for every pair of factors."""

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style


def interaction_matrix(frame: pl.DataFrame) -> go.Figure:
    """Factors by factors; on the diagonal what a level does alone, beside it what two levels do beyond their sum.

    `frame` has a row per ordered pair of factors: `first`, `second`, `strength` (points of flagged share, surely
    exceeded; null where one factor decides the other), `where` (the levels of the strongest cell) and `link`.
    """
    names = frame["first"].unique(maintain_order=True).to_list()
    cells = {(cell["first"], cell["second"]): cell for cell in frame.iter_rows(named=True)}
    grid = [[cells[row, column] for column in names] for row in names]
    labels = [style.label(name) for name in names]
    figure = go.Figure(
        go.Heatmap(
            x=labels,
            y=labels,
            z=[[cell["strength"] for cell in line] for line in grid],
            text=[[_hover(cell) for cell in line] for line in grid],
            customdata=[[cell["link"] for cell in line] for line in grid],
            texttemplate="%{z:.0%}",
            hoverinfo="text",
            colorscale=style.SCALE,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            colorbar={"title": {"text": "excess"}, "tickformat": ".0%", "thickness": 14},
        ),
        layout=style.layout(title="", height=170 + 30 * len(names)),
    )
    unmeasured = [cell for cell in cells.values() if cell["strength"] is None]
    figure.add_trace(
        go.Scatter(
            x=[style.label(cell["first"]) for cell in unmeasured],
            y=[style.label(cell["second"]) for cell in unmeasured],
            mode="markers",
            marker={"symbol": "line-ne", "size": 14, "line": {"width": 1.2, "color": style.MUTED}},
            text=[_hover(cell) for cell in unmeasured],
            hoverinfo="text",
            showlegend=False,
        )
    )
    figure.update_layout(margin={"t": 20})
    figure.update_xaxes(type="category", showgrid=False, automargin=True)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, automargin=True)
    return figure


def _hover(cell: dict[str, object]) -> str:
    names = f"{style.label(str(cell['first']))} and {style.label(str(cell['second']))}"
    if cell["first"] == cell["second"]:
        names = style.label(str(cell["first"]))
    if cell["strength"] is None:
        return f"{names}: one decides the other"
    return f"{names}: at least {cell['strength']:.1%} above expectation<br>{style.label(str(cell['where']))}"
