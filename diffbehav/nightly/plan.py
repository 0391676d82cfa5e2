"""What a configuration comes to tonight: the requests of its stages, refused here where a stage would refuse them."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from diffbehav.collect.models import Models, placement_of, read_models
from diffbehav.collect.plan import PlanRequest, plan_run
from diffbehav.collect.run import Request, check_replayable, described_factors, judged_by
from diffbehav.errors import IntegrityError
from diffbehav.nightly.folder import Night, NightFolder
from diffbehav.search.canaries import CanaryRequest
from diffbehav.search.planting import random_cells
from diffbehav.search.run import SearchRequest
from diffbehav.search.sentinels import UntestableError, rule_of
from diffbehav.search.space import space_of
from diffbehav.serve import TOGETHER, Endpoint, endpoint_of
from diffbehav.stats.rule import matches
from diffbehav.store import shipped_baseline
from diffbehav.suite import Nightly, Suite, load_suite
from diffbehav.suite.nightly import PlantedCanary
from diffbehav.terminal import Terminal

TOP_K = 20
"""Alternatives kept per token: the most an engine gives."""
MOST_SHARE = 0.2
LEAST_EXPOSURES = 10
"""Conditions inside the canary's rule: with fewer a miss would say nothing about the search."""
REPLAYED = "its answers are replayed, and only a live trusted model can be asked what a {} asks"


@dataclass(frozen=True, slots=True)
class Tonight:
    """The requests of one night."""

    run: Request
    search: SearchRequest | None
    canary: CanaryRequest | None
    prune: float | None
    """Share of the conditions that are not flagged which keep their top-k lists; None where all do."""
    conditions: int
    suite_digest: str
    trusted_digest: str
    candidate_digest: str
    """That of the adapter behind it, where there is one."""
    baseline: Mapping[str, Any] | None
    """What is replayed in place of a trusted model, by its name, generation, digest and expiry; None where none is."""


def plan_night(
    config: Nightly, folder: NightFolder, *, earlier: Sequence[Night], began: datetime, terminal: Terminal
) -> Tonight:
    """Check everything that needs no engine; DiffbehavError with what a stage of the night would end with."""
    suite = load_suite(config.suite)
    planned = plan_run(
        PlanRequest(config.suite, None, None, None, calibrate=16, limit=config.limit, search_calls=0),
        on_stage=terminal.stage,
    )  # fmt: skip
    request = _request(config, folder, began)
    models = read_models(request)
    if models.replayed is not None:
        _check_needs_no_live(config)
        check_replayable(request, suite, models)
    if request.policy is not None:
        facts = {"suite": suite.resolved(), "factors": described_factors(suite)}
        judged_by(request.policy, facts, on_stage=lambda _: None)
    if config.canary is not None:
        _check_canary(config, config.canary, suite, conditions=planned["conditions"], seed=_seed(began))
    live = models.trusted
    trusted = live.digest if live is not None else str(models.replayed.side["digest"]) if models.replayed else ""
    adapter = None if models.adapter is None else models.adapter.digest
    tonight = Tonight(
        request, _search(config, folder, earlier, began), _canary(config, folder, began), config.file.prune,
        planned["conditions"], suite.digest, trusted, "+".join(filter(None, (models.candidate.digest, adapter))),
        _baseline(models),
    )  # fmt: skip
    _check_identity(config, tonight, earlier)
    return tonight


def _baseline(models: Models) -> dict[str, Any] | None:
    found = None if models.replayed is None else models.replayed.baseline
    return None if found is None else {key: found[key] for key in ("name", "generation", "digest", "expires")}


def _request(config: Nightly, folder: NightFolder, began: datetime) -> Request:
    file = config.file
    ledger = None if file.ledger == "none" else config.place(file.ledger)
    sides = config.sides
    candidate, candidate_server = _side(sides, "candidate")
    trusted, trusted_server = _side(sides, "trusted")
    trusted = trusted if trusted_server or trusted.is_dir() else _baseline_folder(config, trusted)
    request = Request(
        suite=config.suite, candidate=candidate, candidate_endpoint=candidate_server, trusted=trusted,
        trusted_endpoint=trusted_server,
        candidate_adapter=sides["candidate_adapter"],
        placement=TOGETHER if config.models is None else placement_of(config.models), out=folder.path,
        limit=config.limit, tool_format=file.tool_format, top_k=TOP_K,
        allow_template=file.allow_template, command="", policy=config.policy, ledger=ledger, asked_at=began,
    )  # fmt: skip
    words: dict[str, object] = {
        **(_named(request) if config.models is None else {"config": config.place(str(file.models))}),
        "out": request.out, "limit": request.limit, "policy": request.policy, "ledger": request.ledger,
        "tool-format": request.tool_format,
    }  # fmt: skip
    options = [part for name, value in words.items() if value is not None for part in (f"--{name}", str(value))]
    flags = ["--allow-template"] if request.allow_template else []
    command = shlex.join(["diffbehav", "run", str(request.suite), *options, *flags])
    return replace(request, command=command)


def _side(sides: Mapping[str, Any], side: Literal["candidate", "trusted"]) -> tuple[Path, Endpoint | None]:
    """The folder of a side, and what serves it elsewhere."""
    named, files = sides[side], sides[f"{side}_files"]
    return (named, None) if files is None else (files, endpoint_of(named, side))


def _named(request: Request) -> dict[str, object]:
    """The models in the words of the command line."""
    found: dict[str, object] = {"candidate-adapter": request.candidate_adapter}
    servers = {"candidate": request.candidate_endpoint, "trusted": request.trusted_endpoint}
    for side, folder in (("candidate", request.candidate), ("trusted", request.trusted)):
        server = servers[side]
        found |= {side: folder} if server is None else {side: server.address, f"{side}-files": folder}
    return found


def _baseline_folder(config: Nightly, place: Path) -> Path:
    """The baseline of that name beside the configuration, here, or among the shipped ones."""
    name = config.named("trusted")
    places = [place]
    if Path(name).name == name:
        places += [config.folder / "baselines" / name, Path("baselines") / name]
        places += [found] if (found := shipped_baseline(name)) is not None else []
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        looked = ", ".join(map(str, places))
        reason = f"{name!r} is no model folder and no baseline; looked for {looked}"
        fix = "name one, or pin one: `diffbehav baseline pin`"
        if config.models is not None:
            raise config.models.refusal("trusted", "model", reason=reason, fix=fix)
        raise config.refusal("trusted", reason=reason, fix=fix)
    return found


def _check_needs_no_live(config: Nightly) -> None:
    for key, given in (("search", config.search), ("canary", config.canary), ("ledger", config.file.ledger != "none")):
        if given:
            reason = f"the trusted side is a baseline: {REPLAYED.format(key)}"
            raise config.refusal(key, reason=reason, fix=f"write `{key}: none`, or name the live trusted model")


def _check_canary(config: Nightly, canary: PlantedCanary, suite: Suite, *, conditions: int, seed: int) -> None:
    space = space_of(suite)
    try:
        rule = rule_of(canary.rule, space)
    except UntestableError as error:
        raise config.refusal("canary", "rule", reason=str(error), fix="name levels that the suite has") from error
    share = float(matches(rule, random_cells(space, seed)).mean())
    if share > MOST_SHARE or share * conditions < LEAST_EXPOSURES:
        held = f"the rule holds in {share:.1%} of the contexts, about {share * conditions:.0f} of {conditions:,}"
        least = f"in {LEAST_EXPOSURES} conditions at least"
        most = f"in at most {MOST_SHARE:.0%} of the contexts, or it lifts the threshold that it is found by"
        raise config.refusal("canary", "rule", reason=held, fix=f"name a rule that holds {least} and {most}")


def _seed(began: datetime) -> int:
    """Fresh pairs every night, and the same ones when the night is resumed."""
    return began.date().toordinal()


def _search(config: Nightly, folder: NightFolder, earlier: Sequence[Night], began: datetime) -> SearchRequest | None:
    if config.search is None:
        return None
    confirmed: dict[str, Path] = {}
    for night in earlier:
        for row in night["findings"]:
            if row["status"] == "CONFIRMED":
                confirmed.setdefault(row["fingerprint"], folder.path.parent / night["date"])
    terms = config.search
    return SearchRequest(
        run=folder.path, calls=terms.calls, delta=terms.delta, level=terms.fdr, seed=_seed(began),
        sentinels=list(dict.fromkeys(confirmed.values())),
    )  # fmt: skip


def _canary(config: Nightly, folder: NightFolder, began: datetime) -> CanaryRequest | None:
    if config.canary is None or config.search is None:
        return None
    return CanaryRequest(
        run=folder.path, canaries=1, calls=config.canary.calls, delta=config.search.delta, level=config.search.fdr,
        rate=config.canary.rate, seed=_seed(began), payload=None, instruction=None, rule=config.canary.rule,
    )  # fmt: skip


def _check_identity(config: Nightly, tonight: Tonight, earlier: Sequence[Night]) -> None:
    """IntegrityError where a model or the suite is not what was pinned, or what the nights before had."""
    digests: dict[Literal["candidate", "trusted"], str] = {
        "candidate": tonight.candidate_digest, "trusted": tonight.trusted_digest
    }  # fmt: skip
    for side, found in digests.items():
        pinned = getattr(config.file, f"{side}_digest")
        if pinned is not None and found != pinned:
            raise IntegrityError(
                f"{config.source.name}: {side}_digest is {pinned}, but {config.named(side)} is {found}: its "
                "files are not those that were pinned; put them back, or pin the new digest"
            )
    if not earlier:
        return
    last = earlier[-1]
    for what, now in (("suite_digest", tonight.suite_digest), ("trusted_digest", tonight.trusted_digest)):
        if last[what] != now:
            raise IntegrityError(
                f"{what}: {last[what]} in the night of {last['date']}, {now} now. A series of nights is of one suite "
                "against one trusted model: put the old one back, or begin a new series with another --out"
            )
