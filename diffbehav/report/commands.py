"""Command lines that the report and the pages offer to be pasted into a shell."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def can_replay(facts: Mapping[str, Any]) -> bool:
    """Whether a run's conditions can be asked again: a replayed trusted side has no engine."""
    return "replayed" not in facts["sides"]["trusted"]


def replay_finding(run: Path, finding_id: str) -> str:
    """Asks the minimal pair of a finding again."""
    return shlex.join(["diffbehav", "replay", str(run), "--finding", finding_id])


def replay_condition(run: Path, condition_id: str) -> str:
    """Asks a condition again, with the other half of its minimal pair where it has one."""
    return shlex.join(["diffbehav", "replay", str(run), condition_id])
