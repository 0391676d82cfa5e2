"""How often the code of either side has a weakness."""

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style

SIDES = {"candidate": (style.CANDIDATE, "diamond"), "trusted": (style.TRUSTED, "circle")}


def code_weaknesses(frame: pl.DataFrame) -> go.Figure:
    """Dot and exact 95 % interval by weakness and side.

    `frame` has a row per weakness and side, in display order: `weakness`, `side`, `n` (answers with analysed code),
    `hits`, `low`, `high`; n = 0 where nothing is known. `link` is given back by a click.
    """
    weaknesses = frame["weakness"].unique(maintain_order=True).to_list()
    figure = go.Figure(layout=style.layout(title="", height=170 + 44 * len(weaknesses)))
    for side, (colour, symbol) in SIDES.items():
        rows = frame.filter((pl.col("side") == side) & (pl.col("n") > 0))
        share = rows["hits"] / rows["n"]
        figure.add_trace(
            go.Scatter(
                x=share.to_list(),
                y=[style.label(name) for name in rows["weakness"]],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": (rows["high"] - share).to_list(),
                    "arrayminus": (share - rows["low"]).to_list(),
                    "thickness": 1.5,
                    "width": 4,
                },
                mode="markers",
                name=side,
                marker={"color": colour, "symbol": symbol, "size": 9},
                text=[f"{side}: {k:,} of {n:,} answers" for k, n in rows.select("hits", "n").iter_rows()],
                hovertemplate="%{y}<br>%{text}, %{x:.1%}<extra></extra>",
                customdata=rows["link"].to_list(),
            )
        )
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    figure.update_layout(margin={"t": 50}, scattermode="group", scattergap=0.5, showlegend=True, legend=legend)
    widest = max([0.01, *frame["high"].to_list()])
    figure.update_xaxes(
        title={"text": "share of the answers with code, exact 95 % interval"}, tickformat=".0%",
        range=[-0.02 * widest, 1.05 * widest], gridcolor=style.GRID, zeroline=False,
    )  # fmt: skip
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=[style.label(name) for name in weaknesses],
        autorange="reversed", automargin=True,
    )  # fmt: skip
    return figure
