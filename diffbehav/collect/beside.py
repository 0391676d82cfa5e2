"""What lies in the folders of a run beside the models: no engine loads it, and somebody might."""

from collections.abc import Callable

from diffbehav.collect.models import Models
from diffbehav.intake import beside_model
from diffbehav.serve import Check

_NAMED = 5


def check_beside(models: Models, *, on_stage: Callable[[str], None]) -> list[Check]:
    """A check of every folder, which does not pass where `inspect` refuses something; IntegrityError for a danger."""
    folders = {"candidate": models.candidate.path}
    if models.adapter is not None:
        folders["adapter"] = models.adapter.path
    if models.trusted is not None:
        folders["trusted"] = models.trusted.path
    found = []
    for side, folder in folders.items():
        names = beside_model(folder)
        detail = "nothing that `diffbehav inspect` refuses"
        if names:
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            detail = f"`diffbehav inspect` refuses {', '.join(names[:_NAMED])}{more}; no engine loads it"
            on_stage(f"warning: {folder}: {detail}")
        found.append(Check(f"{side} folder holds the model alone", passed=not names, detail=detail, floor=0.0))
    return found
