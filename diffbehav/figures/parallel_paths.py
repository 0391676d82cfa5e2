"""Conditions as bands through the levels of a few factors, the flagged ones apart."""

from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style


def parallel_paths(frame: pl.DataFrame, *, names: Sequence[str]) -> go.Figure:
    """`frame` has a row per path: `level_0` ... in the order of `names`, `flagged` (bool), `conditions`."""
    dimensions = [
        {"label": style.label(name), "values": [style.label(level) for level in frame[f"level_{i}"]]}
        for i, name in enumerate(names)
    ]
    flagged = frame["flagged"].to_list()
    dimensions.append({"label": "screen", "values": ["flagged" if each else "not flagged" for each in flagged]})
    figure = go.Figure(
        go.Parcats(
            dimensions=dimensions,
            counts=frame["conditions"].to_list(),
            line={"color": [style.CANDIDATE if each else style.GRID for each in flagged], "shape": "hspline"},
            arrangement="freeform",
            hoverinfo="count+probability",
            labelfont={"size": 13, "color": style.INK},
            tickfont={"size": 12, "color": style.INK},
        ),
        layout=style.layout(title="", height=420),
    )
    figure.update_layout(margin={"t": 40, "l": 40, "r": 60, "b": 20})
    return figure
