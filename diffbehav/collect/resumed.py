"""Whether a run folder can be filled further: what was asked, and all that answers depend on, is still the same."""

from collections.abc import Mapping
from typing import Any

from diffbehav.errors import IntegrityError
from diffbehav.records import differences
from diffbehav.serve.placement import MEANING
from diffbehav.store import RunFolder

Settings = Mapping[str, Any]
IDENTITY = ("suite", "suite_digest", "sides", "sampling", "top_k", "block", "limit", "ledger", "tool_format")
"""Keys of run.json that must be equal."""
LIBRARIES = ("vllm", "torch", "transformers")
"""The `versions` that must be equal: prompts, answers and scores come out of these."""
_SERVED = ("candidate", "trusted", "local")
"""Keys of `engine` below which stands what not all engines of a run have."""


def check_resumable(stored: Settings, wanted: Settings, folder: RunFolder) -> None:
    """IntegrityError naming everything in which the stored run differs from the wanted one."""
    then, now = _identity(stored), _identity(wanted)
    if "engine" not in stored:
        # Nothing was asked yet.
        then["engine"] = now["engine"]
    differing = [
        f"{path}: {old!r} in the folder, {new!r} now"
        for key in now
        for path, old, new in differences(key, then[key], now[key])
    ]
    if differing:
        raise IntegrityError(
            f"{folder.path} holds another run, which cannot be continued with these settings:\n  "
            + "\n  ".join(differing[:12])
            + "\nuse another --out folder, or repeat the original command on a machine and with libraries as then"
        )


def _identity(settings: Settings) -> dict[str, Any]:
    versions = settings.get("versions", {})
    return {
        **{key: settings.get(key) for key in IDENTITY},
        "versions": {name: versions.get(name) for name in LIBRARIES},
        "engine": _meaning(settings.get("engine", {})),
    }


def _meaning(engine: Settings) -> dict[str, Any]:
    """The arguments that move log-probabilities, also those that were not chosen but follow from the machine."""
    below = {name: _meaning(engine[name]) for name in _SERVED if name in engine}
    return {name: engine[name] for name in MEANING if name in engine} | {k: own for k, own in below.items() if own}
