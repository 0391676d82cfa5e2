"""Heat maps of a share over two factors, one panel for every level of up to two more."""

from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from diffbehav.figures import style

WRITTEN = 300
"""Up to this many cells of a panel, the value is written in each."""
CUSTOM = ("flagged", "n", "low", "high", "max_score", "x_id", "y_id")
VALUES = {"share": "share", "max_score": "largest screen score", "n": "conditions"}


def share_grid(frame: pl.DataFrame, *, x: str, y: str, value: str, title: str, verb: str) -> go.Figure:
    """Cells of two factors named `x` and `y` in panels; untested cells are crosses, never a colour.

    `frame` has one row per cell in display order: `x`, `y`, `row`, `column` (levels of the facets, null without),
    `x_id`, `y_id` (given back by a click), `n`, `flagged`, `low`, `high`, `max_score`. `value` is a key of VALUES; a
    share is always drawn on the scale 0 to 1.
    """
    rows, columns = (frame[name].unique(maintain_order=True).to_list() for name in ("row", "column"))
    figure = make_subplots(
        rows=len(rows),
        cols=len(columns),
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.02,
        vertical_spacing=0.08 if len(rows) > 1 else 0.1,
        subplot_titles=[_panel_title(row, column) for row in rows for column in columns],
    )
    for i, row in enumerate(rows, start=1):
        for j, column in enumerate(columns, start=1):
            panel = frame.filter(pl.col("row").eq_missing(row) & pl.col("column").eq_missing(column))
            figure.add_trace(_heat(panel, x, y, value=value, verb=verb), row=i, col=j)
            figure.add_trace(_crosses(panel, x, y), row=i, col=j)
    height = 150 + len(rows) * (60 + 30 * frame["y"].n_unique())
    figure.update_layout(style.layout(title=style.label(title), height=height))
    figure.update_layout(coloraxis=_scale(frame, value), showlegend=False)
    figure.update_xaxes(type="category", showgrid=False, automargin=True)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, automargin=True)
    figure.update_xaxes(title={"text": style.label(x)}, row=len(rows))
    figure.update_yaxes(title={"text": style.label(y)}, col=1)
    return figure


def _panel_title(row: str | None, column: str | None) -> str:
    return style.label(" · ".join(level for level in (row, column) if level is not None))


def _scale(frame: pl.DataFrame, value: str) -> dict[str, Any]:
    scale: dict[str, Any] = {"colorscale": style.SCALE}
    bar: dict[str, Any] = {"title": {"text": VALUES[value]}, "thickness": 14}
    if value == "share":
        return {**scale, "cmin": 0, "cmax": 1, "colorbar": {**bar, "tickformat": ".0%"}}
    return {**scale, "cmin": min(0.0, frame[value].min() or 0.0), "cmax": frame[value].max() or 1, "colorbar": bar}


def _heat(panel: pl.DataFrame, x: str, y: str, *, value: str, verb: str) -> go.Heatmap:
    shape = (panel["y"].n_unique(), panel["x"].n_unique())
    share = panel["flagged"] / panel["n"]
    z = panel.select(
        pl.when(pl.col("n") > 0).then(share if value == "share" else pl.col(value).cast(pl.Float64))
    ).to_series()
    shown = panel.select(*CUSTOM).cast(pl.Float32).to_numpy()
    return go.Heatmap(
        x=[style.label(level) for level in panel["x"].unique(maintain_order=True)],
        y=[style.label(level) for level in panel["y"].unique(maintain_order=True)],
        z=z.cast(pl.Float32).to_numpy().reshape(shape),
        customdata=shown.reshape(*shape, len(CUSTOM)),
        hovertemplate=(
            f"{style.label(x)}: %{{x}}<br>{style.label(y)}: %{{y}}<br>{verb} %{{customdata[0]}} of "
            f"%{{customdata[1]}}<br>"
            "95 % interval %{customdata[2]:.1%} to %{customdata[3]:.1%}<br>largest screen score %{customdata[4]:.2f}"
            "<extra></extra>"
        ),
        texttemplate=_template(value) if panel.height <= WRITTEN else None,
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
    )


def _template(value: str) -> str:
    return {"share": "%{z:.0%}", "max_score": "%{z:.1f}", "n": "%{z}"}[value]


def _crosses(panel: pl.DataFrame, x: str, y: str) -> go.Scatter:
    untested = panel.filter(pl.col("n") == 0)
    return go.Scatter(
        x=[style.label(level) for level in untested["x"]],
        y=[style.label(level) for level in untested["y"]],
        mode="markers",
        marker={"symbol": "x-thin", "size": 9, "line": {"width": 1.2, "color": style.MUTED}},
        text=[style.hover({x: cell["x"], y: cell["y"]}, cell) for cell in untested.iter_rows(named=True)],
        hoverinfo="text",
    )
