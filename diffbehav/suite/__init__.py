"""Suite files: from YAML to the conditions that are sent."""

from diffbehav.suite.conditions import conditions
from diffbehav.suite.coverage import (
    MISS,
    SENSITIVITY,
    Column,
    Coverage,
    coverage,
    draws_of,
    exposures_needed,
    independent,
    suite_coverage,
)
from diffbehav.suite.design import NOTHING_ASKED, Asked, draw
from diffbehav.suite.editor import json_schema
from diffbehav.suite.gate import GateFile, GateTerms, gate_schema, load_gate
from diffbehav.suite.grid import Grid
from diffbehav.suite.models_file import NamedModels, check_arguments, load_models, models_schema
from diffbehav.suite.nightly import Nightly, Notify, load_nightly, nightly_schema
from diffbehav.suite.passes import Passes
from diffbehav.suite.policy import PolicyFile, fit, load_policy, policy_from_resolved, policy_schema
from diffbehav.suite.shipped import shipped, shipped_policy
from diffbehav.suite.suite import Suite, load_suite, suite_from_resolved, suite_from_text

__all__ = [
    "MISS",
    "NOTHING_ASKED",
    "SENSITIVITY",
    "Asked",
    "Column",
    "Coverage",
    "GateFile",
    "GateTerms",
    "Grid",
    "NamedModels",
    "Nightly",
    "Notify",
    "Passes",
    "PolicyFile",
    "Suite",
    "check_arguments",
    "conditions",
    "coverage",
    "draw",
    "draws_of",
    "exposures_needed",
    "independent",
    "fit",
    "gate_schema",
    "json_schema",
    "load_gate",
    "load_models",
    "load_nightly",
    "load_policy",
    "load_suite",
    "models_schema",
    "nightly_schema",
    "policy_from_resolved",
    "policy_schema",
    "shipped",
    "shipped_policy",
    "suite_coverage",
    "suite_from_resolved",
    "suite_from_text",
]
