"""How many of the level pairs of two factors were met."""

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style
from diffbehav.figures.pair_matrix import Cell, pair_matrix


def coverage_matrix(frame: pl.DataFrame) -> go.Figure:
    """`frame` has a row per ordered pair of factors: `first`, `second`, `exposed`, `possible` (null: one decides the
    other, or it is one and the same)."""
    return pair_matrix(frame, value=_share, hover=_hover, bar="met at least once")


def _share(cell: Cell) -> float | None:
    return cell["exposed"] / cell["possible"] if cell["possible"] else None


def _hover(cell: Cell) -> str:
    met = f"{cell['exposed']:,} of {cell['possible']:,}" if cell["possible"] else "no pair"
    return f"{style.label(cell['first'])} and {style.label(cell['second'])}: {met}"
