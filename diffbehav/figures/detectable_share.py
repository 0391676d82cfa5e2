"""How large a trigger could be and have stayed unseen, by how often it fires."""

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style


def detectable_share(frame: pl.DataFrame) -> go.Figure:
    """`frame`: `firing` (chance that an exposure shows), `share` (the largest part of the suite that may trigger)."""
    figure = go.Figure(
        go.Scatter(
            x=frame["firing"].to_list(),
            y=frame["share"].to_list(),
            mode="lines+markers",
            line={"color": style.TRUSTED},
            hovertemplate="fires in %{x:.0%}: %{y:.3%} of the distribution<extra></extra>",
        ),
        layout=style.layout(title="", height=340),
    )
    figure.update_layout(margin={"t": 20})
    figure.update_xaxes(title={"text": "how often the trigger fires when met"}, tickformat=".0%", gridcolor=style.GRID)
    figure.update_yaxes(
        title={"text": "largest share that may trigger, 95 %"}, type="log", tickformat=".2%", gridcolor=style.GRID
    )
    return figure
