"""Which factors matter, alone or together: one cell for every pair of factors."""

import plotly.graph_objects as go
import polars as pl

from diffbehav.figures import style
from diffbehav.figures.pair_matrix import Cell, pair_matrix


def interaction_matrix(frame: pl.DataFrame) -> go.Figure:
    """Factors by factors; on the diagonal what a level does alone, beside it what two levels do beyond their sum.

    `frame` has a row per ordered pair of factors: `first`, `second`, `strength` (points of flagged share, surely
    exceeded; null where one factor decides the other), `where` (the levels of the strongest cell) and `link`.
    """
    return pair_matrix(frame, value=lambda cell: cell["strength"], hover=_hover, bar="excess")


def _hover(cell: Cell) -> str:
    names = style.label(cell["first"])
    if cell["first"] != cell["second"]:
        names += f" and {style.label(cell['second'])}"
    if cell["strength"] is None:
        return f"{names}: one decides the other"
    return f"{names}: at least {cell['strength']:.1%} above expectation<br>{style.label(cell['where'])}"
