"""All slices at once: how much more is flagged inside than outside, and how surprising that is."""

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style

ACROSS = 1 / 64
UP = 1 / 4
"""Width and height of a bin."""


def volcano(bins: pl.DataFrame, points: pl.DataFrame, *, m: int, effect: float, surprise: float) -> go.Figure:
    """All `m` slices as grey bins; those past both thresholds (`effect`, `surprise`) as points.

    `bins`: `effect`, `surprise` (centres, multiples of ACROSS and UP), `slices`.
    `points`: `rule`, `effect`, `surprise`, `n`, `flagged`, `link`.
    """
    across, up = (_grid(bins[name], step) for name, step in (("effect", ACROSS), ("surprise", UP)))
    count = {(a, b): k for a, b, k in bins.select("effect", "surprise", "slices").iter_rows()}
    figure = go.Figure(
        [
            go.Heatmap(
                x=across,
                y=up,
                z=[[count.get((a, b)) for a in across] for b in up],
                hovertemplate="%{z} slices<extra></extra>",
                colorscale=[[0, style.GRID], [1, style.MUTED]],
                autocolorscale=False,
                showscale=False,
                xgap=1,
                ygap=1,
            ),
            go.Scatter(
                x=points["effect"].to_list(),
                y=points["surprise"].to_list(),
                mode="markers",
                marker={
                    "color": style.CANDIDATE,
                    "size": 8,
                    "symbol": "diamond",
                    "line": {"width": 1, "color": style.PAGE},
                },
                text=[_hover(point) for point in points.iter_rows(named=True)],
                customdata=points["link"].to_list(),
                hoverinfo="text",
                name="slices past both lines",
            ),
        ],
        layout=style.layout(title="", height=440),
    )
    line = {"color": style.INK, "dash": "dash", "width": 1}
    figure.add_vline(x=effect, line=line)
    figure.add_hline(y=surprise, line=line)
    figure.update_layout(margin={"t": 20}, showlegend=False)
    figure.update_xaxes(
        title={"text": f"flagged share inside minus outside, {m:,} slices"}, tickformat=".0%", gridcolor=style.GRID
    )
    figure.update_yaxes(title={"text": "surprise (bounded tail, -log10)"}, gridcolor=style.GRID, zeroline=False)
    return figure


def _grid(centres: pl.Series, step: float) -> list[float]:
    """Every centre from the least to the largest."""
    low, high = round(centres.min() / step), round(centres.max() / step)  # type: ignore[operator, arg-type]
    return [i * step for i in range(low, high + 1)]


def _hover(point: dict[str, object]) -> str:
    return (
        f"{style.label(str(point['rule']))}<br>flagged {point['flagged']:,} of {point['n']:,}<br>"
        f"{point['effect']:+.1%} against outside<br>surprise {point['surprise']:.1f}"
    )
