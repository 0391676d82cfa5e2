"""Every checkpoint of a training run compared with one trusted side: what `diffbehav checkpoints` does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from diffbehav.checkpoints import (
    Checkpoint,
    Invalid,
    Place,
    check_any_valid,
    described,
    find_checkpoints,
    invalid_by,
)
from diffbehav.collect.models import read_side
from diffbehav.collect.run import Request
from diffbehav.compare.rules import INTERVAL_LEVEL
from diffbehav.compare.searched import read_search
from diffbehav.errors import DiffbehavError, InputError, IntegrityError, Interrupted
from diffbehav.intake import Model
from diffbehav.job import compare_again, run_and_report, search_and_report
from diffbehav.records import canonical_json, differences
from diffbehav.report import write_report
from diffbehav.report.checkpoints import SERIES, checkpoints, read_series, series_file
from diffbehav.report.checkpoints_markdown import render_checkpoints
from diffbehav.report.series import Key, read_run
from diffbehav.report.words import FLAGGED_BY
from diffbehav.search.run import SearchRequest
from diffbehav.serve import Endpoint, Series, Serving
from diffbehav.store import RunFolder, disk_error, read_settings, write_json
from diffbehav.suite import load_policy, load_suite
from diffbehav.terminal import Terminal

SWEEPS = 3
"""How often checkpoints are searched again for rules that others confirmed meanwhile."""
OnStage = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """What `diffbehav checkpoints` was asked to do."""

    suite: Path
    places: Sequence[Place]
    """Folders of models or adapters in the order of the training, or one folder of such; or what a server serves."""
    files: Path | None
    """Folder of tokenizer, template and configuration of checkpoints that are served elsewhere."""
    base: Path
    """What adapters are served on."""
    trusted: Path
    trusted_endpoint: Endpoint | None
    """What serves the trusted model elsewhere; `trusted` is then the folder of its tokenizer and configuration."""
    out: Path
    limit: int | None
    tool_format: str
    top_k: int
    allow_template: bool
    policy: Path | None
    calls: int
    """Conditions that each search may ask."""
    delta: float
    fdr: float
    seed: int
    command: str


@dataclass(frozen=True, slots=True)
class Steps:
    """What is done to one checkpoint; each step goes on where it was interrupted."""

    collect: Callable[[Checkpoint, Path, Path | None], None]
    """Fill and compare the run folder at a path; the trusted answers of an earlier run are taken where one is named."""
    search: Callable[[Path, Sequence[Path]], None]
    """Search the run with the confirmed rules of other runs as sentinels, and compare it again."""
    compare: Callable[[Path], None]


def compare_series(request: SeriesRequest, *, terminal: Terminal) -> dict[str, Any]:
    """Serve every checkpoint beside the trusted model; returns the content of checkpoints.json.

    Adapters of the trusted model are served by one engine that stays open over all of them.
    """
    if any((request.trusted / name).is_file() for name in ("baseline.json", "run.json")):
        raise InputError(
            f"{request.trusted} holds stored answers; the searches ask the live trusted model, so name its folder"
        )
    places = find_checkpoints(request.places)
    reference = read_side(request.trusted, request.trusted_endpoint).model
    series = described(
        places, base=request.base, reference=reference, allow_template=request.allow_template, files=request.files
    )
    adapters = [
        each.adapter for each in series if each.adapter is not None and each.same_as is None and each.invalid is None
    ]
    with Series(request.trusted, adapters) as open_over_runs:
        steps, settings = _served(request, terminal, open_over_runs.serving), _settings(request, reference)
        return examine(series, request.out, settings=settings, steps=steps, on_stage=terminal.stage)


def examine(
    series: Sequence[Checkpoint], out: Path, *, settings: Mapping[str, Any], steps: Steps, on_stage: OnStage
) -> dict[str, Any]:
    """Compare every checkpoint in a run folder below `out`, and write checkpoints.json and checkpoints.md there.

    A rule that fresh pairs confirm at one checkpoint is asked at every other one. What is there already is used again;
    IntegrityError where it was made in another way. `settings` has whatever must stay equal, `delta` and `level` in it.
    A checkpoint that fails is INVALID in the series, and the others go on; IntegrityError where all fail.
    """
    _begin(series, out, settings)
    failed = {each.name: each.invalid for each in series if each.invalid is not None}
    steps = _forgiving(steps, failed, on_stage)
    distinct = [each for each in series if each.same_as is None and each.invalid is None]
    runs = [out / each.name for each in distinct]
    for same in (each for each in series if each.same_as is not None):
        on_stage(f"{same.name} has the same files as {same.same_as}: it is not compared twice")
    for place, (each, run) in enumerate(zip(distinct, runs, strict=True)):
        on_stage(f"checkpoint {place + 1} of {len(distinct)}: {each.name}")
        _collected(each, run, next((other for other in runs if other != run and _is_collected(other)), None), steps)
    runs = [run for run in runs if run.name not in failed]
    for place, run in enumerate(runs):
        if not RunFolder(run).search.exists():
            on_stage(f"searching {run.name}")
            steps.search(run, runs[:place])
        elif _is_stale(run):
            steps.compare(run)
    _sweep([run for run in runs if run.name not in failed], steps, on_stage)
    tried = [replace(each, invalid=failed.get(each.same_as or each.name)) for each in series]
    check_any_valid(tried)
    _begin(tried, out, settings)
    return write_series(out)


def _forgiving(steps: Steps, failed: dict[str, Invalid], on_stage: OnStage) -> Steps:
    """The same steps, of which none ends the series: an error is entered in `failed` by the name of the run.

    Nothing more is done to a run that is entered there.
    """

    def tried(step: Callable[..., None], run: Path, *words: Any) -> None:
        if run.name in failed:
            return
        try:
            step(*words)
        except Interrupted:
            raise
        except DiffbehavError as error:
            failed[run.name] = invalid_by(error)
            on_stage(f"{run.name} is INVALID, and the others go on: {error}")

    return Steps(
        lambda each, run, answers: tried(steps.collect, run, each, run, answers),
        lambda run, sentinels: tried(steps.search, run, run, sentinels),
        lambda run: tried(steps.compare, run, run),
    )


def write_series(out: Path) -> dict[str, Any]:
    """Write checkpoints.json and checkpoints.md of a compared series; returns the content of the former."""
    found = checkpoints(out)
    write_json(out / "checkpoints.json", found)
    page = out / "checkpoints.md"
    try:
        page.write_text(render_checkpoints(found), encoding="utf-8", newline="")
    except OSError as error:
        raise disk_error(error, page) from error
    return found


def _settings(request: SeriesRequest, trusted: Model) -> dict[str, Any]:
    suite = load_suite(request.suite)
    return {
        "suite": f"{suite.id}@{suite.version}",
        "suite_digest": suite.digest,
        "trusted": trusted.digest,
        "policy": None if request.policy is None else load_policy(request.policy).digest,
        "limit": request.limit,
        "tool_format": request.tool_format,
        "top_k": request.top_k,
        "calls": request.calls,
        "delta": request.delta,
        "level": request.fdr,
        "seed": request.seed,
    }


def _served(request: SeriesRequest, terminal: Terminal, serving: Serving) -> Steps:
    """The steps with engines on this machine."""

    def collect(each: Checkpoint, run: Path, answers: Path | None) -> None:
        asked = Request(
            suite=request.suite, candidate=each.model, candidate_adapter=each.adapter, candidate_endpoint=each.endpoint,
            trusted=request.trusted, trusted_endpoint=request.trusted_endpoint,
            out=run, limit=request.limit, tool_format=request.tool_format, top_k=request.top_k,
            allow_template=request.allow_template, command=request.command, policy=request.policy, answers=answers,
        )  # fmt: skip
        run_and_report(asked, terminal=terminal, serving=serving)

    def search(run: Path, sentinels: Sequence[Path]) -> None:
        asked = SearchRequest(
            run=run, calls=request.calls, delta=request.delta, level=request.fdr, seed=request.seed,
            sentinels=sentinels,
        )  # fmt: skip
        search_and_report(asked, terminal=terminal, serving=serving)

    def compare(run: Path) -> None:
        compare_again(run, policy=None, terminal=terminal)
        write_report(run, run / "report")

    return Steps(collect, search, compare)


def _begin(series: Sequence[Checkpoint], out: Path, settings: Mapping[str, Any]) -> None:
    if series_file(out).exists():
        stored = read_series(out)["settings"]
        differing = [
            f"{path[1:]}: {old!r} in the folder, {new!r} now" for path, old, new in differences("", stored, settings)
        ]
        if differing:
            raise IntegrityError(
                f"{out} holds a series that was compared in another way:\n  " + "\n  ".join(differing[:12])
                + "\nuse another --out folder, or repeat the original command"
            )  # fmt: skip
    shown = [asdict(each) | {"path": str(each.path), "model": str(each.model)} for each in series]
    shown = [each | {"adapter": None if each["adapter"] is None else str(each["adapter"])} for each in shown]
    served = [None if each.endpoint is None else each.endpoint.address for each in series]
    shown = [each | {"endpoint": address} for each, address in zip(shown, served, strict=True)]
    write_json(series_file(out), {"schema": SERIES, "settings": settings, "checkpoints": shown})


def _collected(each: Checkpoint, run: Path, answers: Path | None, steps: Steps) -> None:
    folder = RunFolder(run)
    if folder.settings.exists():
        side = read_settings(folder)["sides"]["candidate"]
        stored = "+".join(filter(None, (side["digest"], side.get("adapter_digest"))))
        if stored != each.digest:
            raise IntegrityError(
                f"{run} was collected from other files than {each.path} has now ({stored[:12]} then, "
                f"{str(each.digest)[:12]} now); use another --out folder"
            )
    if _is_collected(run):
        if not folder.database.exists():
            steps.compare(run)
        return
    steps.collect(each, run, answers)


def _is_collected(run: Path) -> bool:
    folder = RunFolder(run)
    return folder.settings.exists() and "collected" in read_settings(folder)


def _sweep(runs: Sequence[Path], steps: Steps, on_stage: OnStage) -> None:
    """Ask what others confirmed. A search repeats what it asked before for nothing, from its stored answers."""
    for _ in range(SWEEPS):
        lacking = [run for run in runs if _untested(run, runs)]
        if not lacking:
            return
        for run in lacking:
            on_stage(f"searching {run.name} again, with the rules that were confirmed at the other checkpoints")
            steps.search(run, [other for other in runs if other != run])
    for run in runs:
        if left := _untested(run, runs):
            on_stage(f"{run.name}: {len(left)} rules that were confirmed elsewhere stay NOT TESTED")


def _untested(run: Path, runs: Sequence[Path]) -> set[Key]:
    """Rules that are CONFIRMED at another run and that the search of this one neither tested nor could not ask."""
    confirmed = {rule for other in runs if other != run for rule in _confirmed(other)}
    found = read_search(RunFolder(run), interval_level=INTERVAL_LEVEL)
    assert found is not None
    asked = {(canonical_json(each.rule), each.flagged_by) for each in found.tested}
    for each in found.sentinels:
        # Which measure could not be asked is not kept.
        measures = FLAGGED_BY if each.tested is None else (each.tested.flagged_by,)
        asked |= {(canonical_json(each.rule), measure) for measure in measures}
    return confirmed - asked


def _confirmed(run: Path) -> set[Key]:
    findings = read_run(run.name, RunFolder(run).database).findings
    return {key for key, finding in findings.items() if finding.status == "CONFIRMED"}


def _is_stale(run: Path) -> bool:
    """Whether a search ended after the run was last compared."""
    folder = RunFolder(run)
    return folder.database.stat().st_mtime_ns < folder.search.stat().st_mtime_ns
