"""Suite files: from YAML to the conditions that are sent."""

from diffbehav.suite.conditions import conditions
from diffbehav.suite.design import draw
from diffbehav.suite.editor import json_schema
from diffbehav.suite.grid import Grid
from diffbehav.suite.shipped import shipped
from diffbehav.suite.suite import Suite, load_suite, suite_from_resolved, suite_from_text

__all__ = [
    "Grid",
    "Suite",
    "conditions",
    "draw",
    "json_schema",
    "load_suite",
    "shipped",
    "suite_from_resolved",
    "suite_from_text",
]
