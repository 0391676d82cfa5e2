"""Run folder to run.duckdb: distances per condition, and the rules under which the two sides part."""

from diffbehav.compare.build import compare
from diffbehav.compare.distances import DISTANCES

__all__ = ["DISTANCES", "compare"]
