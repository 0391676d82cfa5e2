"""Which arguments of which tools differ, and how."""

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style

CHANGES = {
    "extra_call": (style.CANDIDATE, ""),
    "missing_call": (style.TRUSTED, ""),
    "changed": (style.MUTED, "/"),
    "added": (style.CANDIDATE, "x"),
    "removed": (style.TRUSTED, "x"),
}
"""Kind of change -> colour and pattern of its bars."""


def argument_paths(frame: pl.DataFrame) -> go.Figure:
    """Bars, most frequent first. `frame`: `place` (an alias of tool and path), `change`, `conditions`."""
    order = (
        frame.group_by("place", maintain_order=True).agg(pl.col("conditions").sum()).sort("conditions", descending=True)
    )
    places = order["place"].to_list()
    figure = go.Figure(layout=style.layout(title="", height=160 + 24 * frame.height))
    for change, (colour, pattern) in CHANGES.items():
        rows = frame.filter(pl.col("change") == change)
        if rows.is_empty():
            continue
        figure.add_trace(
            go.Bar(
                x=rows["conditions"].to_list(),
                y=[style.label(place) for place in rows["place"]],
                name=change.replace("_", " "),
                orientation="h",
                marker={"color": colour, "pattern": {"shape": pattern, "fgcolor": style.PAGE, "fillmode": "overlay"}},
                hovertemplate="%{y}: %{x} conditions<extra>%{fullData.name}</extra>",
                text=rows["conditions"].to_list(),
                textposition="outside",
            )
        )
    figure.update_layout(barmode="group", margin={"t": 20})
    figure.update_xaxes(title={"text": "conditions"}, gridcolor=style.GRID)
    labels = [style.label(place) for place in places]
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=labels, autorange="reversed", automargin=True
    )
    return figure
