"""How the conditions divide along the clauses of the rules, and where the flagged ones are."""

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style


def rule_icicle(frame: pl.DataFrame) -> go.Figure:
    """Area is conditions, colour the flagged share.

    `frame` has a row per node, parents first: `id`, `parent` (empty for the root), `label`, `n`, `flagged`, `link`.
    """
    share = [k / n if n else 0.0 for k, n in frame.select("flagged", "n").iter_rows()]
    figure = go.Figure(
        go.Icicle(
            ids=frame["id"].to_list(),
            parents=frame["parent"].to_list(),
            labels=[style.label(text) for text in frame["label"]],
            values=frame["n"].to_list(),
            branchvalues="total",
            text=[f"{k:,} of {n:,} flagged" for k, n in frame.select("flagged", "n").iter_rows()],
            textinfo="label+text",
            textfont={"size": 13},
            hovertemplate="%{label}<br>%{text}<extra></extra>",
            customdata=frame["link"].to_list(),
            marker={
                "colors": share,
                "colorscale": style.SCALE,
                "cmin": 0,
                "cmax": 1,
                "colorbar": {"title": {"text": "flagged share"}, "tickformat": ".0%", "thickness": 14},
            },
            tiling={"orientation": "h"},
            pathbar={"visible": False},
            sort=False,
        ),
        layout=style.layout(title="", height=360),
    )
    figure.update_layout(margin={"t": 20, "l": 10, "b": 10})
    return figure
