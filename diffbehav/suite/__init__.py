"""Suite files: from YAML to the conditions that are sent."""

from diffbehav.suite.conditions import conditions
from diffbehav.suite.coverage import Coverage, coverage, exposures_needed, suite_coverage
from diffbehav.suite.design import draw
from diffbehav.suite.editor import json_schema
from diffbehav.suite.grid import Grid
from diffbehav.suite.passes import Passes
from diffbehav.suite.shipped import shipped
from diffbehav.suite.suite import Suite, load_suite, suite_from_resolved, suite_from_text

__all__ = [
    "Coverage",
    "Grid",
    "Passes",
    "Suite",
    "conditions",
    "coverage",
    "draw",
    "exposures_needed",
    "json_schema",
    "load_suite",
    "shipped",
    "suite_coverage",
    "suite_from_resolved",
    "suite_from_text",
]
