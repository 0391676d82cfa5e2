"""The unattended night: plan, run, compare, search, control, gate, report and notify, one night after another."""

from diffbehav.nightly.alive import alive
from diffbehav.nightly.folder import NightsFolder
from diffbehav.nightly.night import Outside, run_night
from diffbehav.nightly.standing import TITLES, known_findings, named_finding
from diffbehav.nightly.triage import Acceptance, accept, read_acceptances, reopen

__all__ = [
    "TITLES",
    "Acceptance",
    "NightsFolder",
    "Outside",
    "accept",
    "alive",
    "known_findings",
    "named_finding",
    "read_acceptances",
    "reopen",
    "run_night",
]
