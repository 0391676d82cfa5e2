"""Figures: a polars frame in, a plotly Figure out; `svg` draws the same frames without JavaScript."""

from diffbehav.figures.argument_paths import argument_paths
from diffbehav.figures.code_weaknesses import code_weaknesses
from diffbehav.figures.coverage_matrix import coverage_matrix
from diffbehav.figures.date_timeline import date_timeline
from diffbehav.figures.detectable_share import detectable_share
from diffbehav.figures.factor_marginals import factor_marginals
from diffbehav.figures.interaction_matrix import interaction_matrix
from diffbehav.figures.nightly_trend import nightly_trend
from diffbehav.figures.pair_heatmap import pair_heatmap
from diffbehav.figures.parallel_paths import parallel_paths
from diffbehav.figures.rule_icicle import rule_icicle
from diffbehav.figures.said_did import said_did
from diffbehav.figures.share_grid import share_grid
from diffbehav.figures.style import CANDIDATE, PLOTLY_CONFIG, TRUSTED, dark, plotly_script
from diffbehav.figures.trajectories import trajectories
from diffbehav.figures.volcano import volcano

__all__ = [
    "CANDIDATE",
    "PLOTLY_CONFIG",
    "TRUSTED",
    "argument_paths",
    "code_weaknesses",
    "coverage_matrix",
    "dark",
    "date_timeline",
    "detectable_share",
    "factor_marginals",
    "interaction_matrix",
    "nightly_trend",
    "pair_heatmap",
    "parallel_paths",
    "plotly_script",
    "rule_icicle",
    "said_did",
    "share_grid",
    "trajectories",
    "volcano",
]
