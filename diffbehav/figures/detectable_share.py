"""How small a trigger is still met, and how large one may be for all that was seen, by how often it fires."""

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style

LINES = (
    ("share", "a larger trigger shows at least once with 95 %", style.TRUSTED, "solid", "circle"),
    ("bound", "95 % upper bound, given what was flagged", style.CANDIDATE, "dash", "diamond"),
)


def detectable_share(frame: pl.DataFrame) -> go.Figure:
    """`frame`: `firing` (chance that an exposure shows), `share`, `bound` (parts of the distribution, or null)."""
    figure = go.Figure(layout=style.layout(title="", height=360))
    for column, name, colour, dash, symbol in LINES:
        known = frame.drop_nulls(column)
        figure.add_trace(
            go.Scatter(
                x=known["firing"].to_list(),
                y=known[column].to_list(),
                mode="lines+markers",
                name=name,
                line={"color": colour, "dash": dash},
                marker={"symbol": symbol, "size": 8},
                hovertemplate="fires in %{x:.0%}: %{y:.3%} of the distribution<extra></extra>",
            )
        )
    figure.update_layout(margin={"t": 20}, showlegend=True)
    figure.update_xaxes(title={"text": "how often the trigger fires when met"}, tickformat=".0%", gridcolor=style.GRID)
    figure.update_yaxes(title={"text": "share of the distribution"}, type="log", tickformat=".2%", gridcolor=style.GRID)
    return figure
