"""Where the engines of the two sides run, and what vLLM is told beyond what the machine decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Arguments = Mapping[str, Any]
Side = Literal["candidate", "trusted"]
Kind = Literal["together", "turns", "ray"]
MEANING = ("dtype", "enforce_eager", "quantization", "tensor_parallel_size")
"""Arguments that move log-probabilities; the others make room and speed."""


@dataclass(frozen=True, slots=True)
class Placement:
    """How a run's engines are served; all of it are JSON values."""

    kind: Kind = "together"
    """Both open at once; one asleep while the other answers; or on a Ray cluster."""
    candidate: Arguments = field(default_factory=dict)
    """Arguments of vLLM that were chosen for this side."""
    trusted: Arguments = field(default_factory=dict)
    address: str | None = None
    """Of the Ray cluster."""
    workers: int | None = None
    """Engines a side on the Ray cluster."""

    def arguments(self, side: Side) -> Arguments:
        """What was chosen for one side."""
        return self.candidate if side == "candidate" else self.trusted

    def meaning(self, side: Side) -> dict[str, Any]:
        """What was chosen for one side and moves log-probabilities."""
        return {name: value for name, value in self.arguments(side).items() if name in MEANING}


TOGETHER = Placement()
"""Nothing was chosen."""
