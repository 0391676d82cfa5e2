"""The fence around a baseline: until when it may be replayed, and what it may be compared with."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diffbehav.errors import IntegrityError
from diffbehav.intake.manifest import Model
from diffbehav.records import differences, digest, excerpt

Facts = Mapping[str, Any]
DECIDES_NUMBERS = ("dtype", "enforce_eager", "quantization", "tensor_parallel_size", "levels")
"""Engine arguments that move log-probabilities, `levels` where a suite sets them; the others make room and speed."""
_MOST = 12


def check_current(manifest: Facts, place: Path, *, now: datetime) -> None:
    """IntegrityError where the baseline at `place` was expired by somebody, or its day of expiry (UTC) has come."""
    expired, expires = manifest["expired"], manifest["expires"]
    remedy = "promote it from a fresh run of the trusted model, or pin another one"
    if expired is not None:
        raise IntegrityError(f"{place} was expired by {expired['by']} at {expired['at']}: {expired['why']}; {remedy}")
    today = now.astimezone(UTC).date().isoformat()
    if expires is not None and today >= expires:
        raise IntegrityError(f"{place} is stale: expires {expires!r} in the baseline, {today!r} now; {remedy}")


def check_comparable(stored: Facts, wanted: Facts, place: Path, *, limit: int | None) -> None:
    """IntegrityError naming every field in which a baseline is not what a run asks for, with both values.

    `stored` is the `run` of a manifest, `wanted` what `facts_of` gives for the run. `limit` conditions are asked, None
    for all of the suite: they must be among the stored ones.
    """
    found = differences("", facts_of(stored), wanted)
    held = stored["limit"]
    if held is not None and (limit is None or limit > held):
        found.append((".limit", held, limit))
    if found:
        found.sort(key=lambda each: each[0].count(".") + each[0].count("["))
        shown = [f"{path[1:]}: {excerpt(old)} in the baseline, {excerpt(new)} now" for path, old, new in found]
        more = [f"and {len(shown) - _MOST} more"] if len(shown) > _MOST else []
        raise IntegrityError(
            f"{place} cannot be compared with this run:\n  "
            + "\n  ".join([*shown[:_MOST], *more])
            + "\nrun as the baseline was made, or pin a run that was made as this one"
        )


def facts_of(run: Facts) -> dict[str, Any]:
    """What must be equal in a baseline and a run, from the keys of a run.json.

    Where both sides are there, the tokens are those of the candidate: it is the one that the baseline must suit.
    """
    name = "candidate" if "candidate" in run["sides"] else "trusted"
    side, engine = run["sides"][name], run["engine"] | run["engine"].get(name, {})
    return {
        "suite": run["suite"],
        "suite_digest": run["suite_digest"],
        "top_k": run["top_k"],
        "tool_format": run["tool_format"],
        "tokenizer": side["tokenizer"],
        "template": side["template"],
        "engine": {argument: engine.get(argument) for argument in DECIDES_NUMBERS},
        "vllm": run["versions"].get("vllm"),
    }


def check_same_model(digests: Facts, model: Model) -> None:
    """IntegrityError naming the digests in which a model folder is not the model that was pinned."""
    weights = {name: value for name, value in model.files.items() if name.endswith(".safetensors")}
    now = {
        "weights": digest(weights), "model": model.digest, "tokenizer": model.tokenizer_digest,
        "template": model.template_digest,
    }  # fmt: skip
    changed = [f"{name}: {digests[name]!r} in the baseline, {now[name]!r} now" for name in now
               if digests[name] != now[name]]  # fmt: skip
    if changed:
        raise IntegrityError(f"{model.path} is not the model that was pinned:\n  " + "\n  ".join(changed))
