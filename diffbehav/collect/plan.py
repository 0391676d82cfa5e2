"""The plan of a run: what it would ask and expose, and with models named, what it would take."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffbehav.collect.estimate import estimate, estimate_json
from diffbehav.suite import load_suite

if TYPE_CHECKING:
    from diffbehav.serve import Endpoint, Placement


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What `diffbehav plan` was asked to do."""

    suite: Path
    candidate: Path | None
    candidate_adapter: Path | None
    trusted: Path | None
    """None where nothing is to be measured, like the candidate then."""
    calibrate: int
    """Conditions to measure with."""
    limit: int | None
    search_calls: int
    candidate_endpoint: "Endpoint | None" = None
    """As of a Request."""
    trusted_endpoint: "Endpoint | None" = None
    placement: "Placement | None" = None
    """None where nothing was chosen."""


def plan_run(request: PlanRequest, *, on_stage: Callable[[str], None]) -> dict[str, Any]:
    """Everything as JSON values; without models nothing but the suite file is needed, not even what serves them."""
    found = estimate(load_suite(request.suite), limit=request.limit, search_calls=request.search_calls)
    plan = estimate_json(found)
    if request.candidate is None or request.trusted is None:
        return plan
    from diffbehav.collect.run import Request
    from diffbehav.collect.trial import try_out
    from diffbehav.serve import TOGETHER

    run = Request(
        suite=request.suite, candidate=request.candidate, candidate_adapter=request.candidate_adapter,
        trusted=request.trusted, out=Path(), limit=request.limit, tool_format="hermes", top_k=20,
        allow_template=False, command="", candidate_endpoint=request.candidate_endpoint,
        trusted_endpoint=request.trusted_endpoint, placement=request.placement or TOGETHER,
    )  # fmt: skip
    measured = try_out(
        run, found.cells, calibrate=request.calibrate, search_calls=request.search_calls, on_stage=on_stage
    )
    return plan | {"measured": measured}
