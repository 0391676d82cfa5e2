"""Divergence over the simulated date: the levels of a date factor, not the days of runs."""

from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from diffbehav.figures import style


def date_timeline(frame: pl.DataFrame, *, verb: str = "flagged") -> go.Figure:
    """Flagged share with its interval above; largest and 99th-percentile screen score below.

    `frame` has one row per date, ascending: `date` (ISO), `n`, `flagged`, `low`, `high`, `max_score`,
    `p99_score`; optionally `noise_low` and `noise_high`, the scores of the trusted model against itself,
    `share_noise_low` and `share_noise_high`, the same of the share, and `segment_share`, the share between the two
    changes around the date: where it changes stands a line with both shares.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08, row_heights=[0.5, 0.5])
    tested = frame.filter(pl.col("n") > 0)
    for trace in _noise_traces(tested, "share_noise"):
        figure.add_trace(trace, row=1, col=1)
    figure.add_trace(_share_trace(tested, verb), row=1, col=1)
    for mark in _changes(tested):
        figure.add_vline(**mark, row=1, col=1)
    for trace in _noise_traces(tested, "noise"):
        figure.add_trace(trace, row=2, col=1)
    for column, name, dash, symbol in (
        ("max_score", "largest score", "solid", "diamond"),
        ("p99_score", "99th percentile of the score", "dot", "circle-open"),
    ):
        figure.add_trace(
            go.Scatter(
                x=_dates(tested),
                y=tested[column].to_list(),
                mode="lines+markers",
                name=name,
                line={"color": style.CANDIDATE, "dash": dash, "width": 1.5},
                marker={"symbol": symbol, "size": 7},
                hovertemplate="%{x|%Y-%m-%d}: %{y:.2f}<extra>%{fullData.name}</extra>",
            ),
            row=2,
            col=1,
        )
    figure.update_layout(style.layout(title="Divergence by simulated date", height=520))
    figure.update_xaxes(type="date", gridcolor=style.GRID)
    figure.update_xaxes(title={"text": "simulated date"}, row=2, col=1)
    figure.update_yaxes(gridcolor=style.GRID, zeroline=False, automargin=True)
    share = {"text": f"{verb}: share"}
    figure.update_yaxes(title=share, range=[-0.02, 1.02], tickformat=".0%", row=1, col=1)
    figure.update_yaxes(title={"text": "screen score"}, row=2, col=1)
    return figure


def _changes(tested: pl.DataFrame) -> list[dict[str, Any]]:
    """A vertical line at each date from which another share holds, before and after written beside it."""
    if "segment_share" not in tested.columns:
        return []
    shares = tested["segment_share"].to_list()
    steps = zip(_dates(tested)[1:], shares[:-1], shares[1:], strict=True)
    return [
        {
            "x": day,
            "line": {"color": style.INK, "dash": "dash", "width": 1.2},
            "label": {"text": f"{before:.0%} → {after:.0%}", "textposition": "end", "textangle": 0, "yanchor": "bottom",
                      "font": {"color": style.INK, "size": 12}},
        }
        for day, before, after in steps
        if before != after
    ]  # fmt: skip


def _share_trace(tested: pl.DataFrame, verb: str) -> go.Scatter:
    shares = [k / n for k, n in zip(tested["flagged"], tested["n"], strict=True)]
    return go.Scatter(
        x=_dates(tested),
        y=shares,
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [high - share for high, share in zip(tested["high"], shares, strict=True)],
            "arrayminus": [share - low for low, share in zip(tested["low"], shares, strict=True)],
            "thickness": 1,
            "width": 3,
        },
        mode="lines+markers",
        name=f"{verb}: share, exact 95 % interval",
        line={"color": style.CANDIDATE, "width": 1.5},
        marker={"size": 7},
        text=[style.hover({"date": row["date"]}, row, verb=verb) for row in tested.iter_rows(named=True)],
        hoverinfo="text",
    )


def _noise_traces(tested: pl.DataFrame, prefix: str) -> list[go.Scatter]:
    if f"{prefix}_high" not in tested.columns:
        return []
    dates = _dates(tested)
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "x": dates}
    return [
        go.Scatter(**edge, y=tested[f"{prefix}_low"].to_list(), showlegend=False),
        go.Scatter(
            **edge,
            y=tested[f"{prefix}_high"].to_list(),
            fill="tonexty",
            fillcolor=style.BAND,
            name="trusted against itself",
        ),
    ]


def _dates(tested: pl.DataFrame) -> list[str]:
    return [style.label(date) for date in tested["date"]]
