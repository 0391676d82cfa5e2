"""Figures: a polars frame in, a plotly Figure out; `svg` draws the same frames without JavaScript."""

from diffbehav.figures.date_timeline import date_timeline
from diffbehav.figures.factor_marginals import factor_marginals
from diffbehav.figures.pair_heatmap import pair_heatmap
from diffbehav.figures.style import CANDIDATE, PLOTLY_CONFIG, TRUSTED, plotly_script

__all__ = [
    "CANDIDATE",
    "PLOTLY_CONFIG",
    "TRUSTED",
    "date_timeline",
    "factor_marginals",
    "pair_heatmap",
    "plotly_script",
]
