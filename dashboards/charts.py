"""A chart is a frame of a run and a view, and a figure of that frame; the frame can be downloaded."""

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any, NamedTuple

import plotly.graph_objects as go
import polars as pl

from dashboards.runs import OpenRun
from dashboards.view import View
from diffbehav import untrusted

HIDDEN = ("link", "x_id", "y_id", "hidden")
"""Columns of a frame that only lead somewhere or say what is not drawn."""


class Chart(NamedTuple):
    """One chart of a page."""

    title: str
    frame: Callable[[OpenRun, View], pl.DataFrame | str]
    """The numbers, or why there are none."""
    draw: Callable[[pl.DataFrame, OpenRun, View], go.Figure]
    caption: str
    follow: Callable[[Any, OpenRun, View], str | None] = lambda data, _run, _view: (
        data if isinstance(data, str) else None
    )
    """The `customdata` of a point that was clicked -> where it leads; most charts carry the address itself."""
    leads: Callable[[Mapping[str, Any], OpenRun, View], str | None] = lambda row, _run, _view: row.get("link")
    """The same for a row of the table, which a keyboard reaches."""
    said: Callable[[pl.DataFrame], str] = lambda _frame: ""
    """What the numbers come to, in words."""


def parquet(frame: pl.DataFrame) -> bytes:
    """A Parquet file; the levels in it are as they were written."""
    stream = BytesIO()
    frame.drop(*HIDDEN, strict=False).write_parquet(stream)
    return stream.getvalue()


def csv(frame: pl.DataFrame) -> Iterator[str]:
    """The lines of a CSV file; a missing number is an empty field."""
    shown = frame.drop(*HIDDEN, strict=False)
    yield ",".join(map(untrusted.csv_cell, shown.columns)) + "\r\n"
    for row in shown.iter_rows():
        yield ",".join(map(_cell, row)) + "\r\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else untrusted.csv_cell(str(value))
