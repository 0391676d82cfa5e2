"""The two sides of a run before anything is asked: folders, a server, or what an earlier run stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from diffbehav.collect.replayed import Replayed, check_same_tokens, find_replayed
from diffbehav.errors import DiffbehavError, InputError
from diffbehav.intake import (
    Adapter,
    Model,
    check_adapter_fits,
    check_same_tokenizer,
    deciding_texts,
    read_adapter,
    read_declared,
    read_model,
)
from diffbehav.serve import (
    NOT_SEEN,
    TOGETHER,
    Endpoint,
    Engine,
    Engines,
    Placement,
    Renderer,
    ReplayEngine,
    Served,
    Serving,
    endpoint_of,
    look_at,
    on_gpu,
)
from diffbehav.serve.placement import Side
from diffbehav.serve.sides import OneSide, Settings, Setup, as_recorded, shares_process, side_arguments
from diffbehav.suite import NamedModels


@dataclass(frozen=True, slots=True)
class Models:
    """The two sides as files, and the servers of those that are served elsewhere."""

    candidate: Model
    adapter: Adapter | None
    trusted: Model | None
    """None where the trusted side is replayed."""
    replayed: Replayed | None
    served: Sequence[Served] = ()
    placement: Placement = TOGETHER

    @property
    def here(self) -> list[OneSide]:
        """What engines are to be started for; one of them where the candidate is an adapter of the trusted model."""
        adapter = None if self.adapter is None else self.adapter.path
        adapters = () if adapter is None else (adapter,)
        sides = [] if self.server("candidate") else [OneSide("candidate", self.candidate.path, adapters)]
        if self.trusted is None or self.server("trusted"):
            return sides
        if sides and shares_process(self.candidate.path, adapter, self.trusted.path, self.placement):
            return sides
        return [*sides, OneSide("trusted", self.trusted.path, ())]

    def server(self, side: str) -> Served | None:
        """What serves a side elsewhere."""
        return next((each for each in self.served if each.endpoint.side == side), None)


def placement_of(models: NamedModels) -> Placement:
    """Where the engines of a models file live."""
    file = models.file
    return Placement(
        file.placement, file.candidate.engine.arguments, file.trusted.engine.arguments, file.address, file.workers
    )


class Named(Protocol):
    """A Request, as far as it names models."""

    @property
    def candidate(self) -> Path: ...
    @property
    def candidate_adapter(self) -> Path | None: ...
    @property
    def candidate_endpoint(self) -> Endpoint | None: ...
    @property
    def trusted(self) -> Path: ...
    @property
    def trusted_endpoint(self) -> Endpoint | None: ...
    @property
    def placement(self) -> Placement: ...
    @property
    def allow_template(self) -> bool: ...
    @property
    def asked_at(self) -> datetime: ...


class Told(NamedTuple):
    """A model, and the server that has it."""

    model: Model
    served: Served | None


def read_models(request: Named) -> Models:
    """The two sides, checked for what would keep them from being compared; a server is asked what it serves."""
    if request.candidate_endpoint is not None and request.candidate_adapter is not None:
        raise InputError(
            f"{request.candidate_adapter}: an adapter of a served candidate is a model of the server; start it with "
            "--lora-modules name=folder, and name it behind the # of the address"
        )
    replayed = None if request.trusted_endpoint is not None else find_replayed(request.trusted, now=request.asked_at)
    candidate = read_side(request.candidate, request.candidate_endpoint)
    adapter = None if request.candidate_adapter is None else read_adapter(request.candidate_adapter)
    if adapter is not None:
        check_adapter_fits(adapter, candidate.model)
    trusted = None if replayed else read_side(request.trusted, request.trusted_endpoint)
    if trusted is not None:
        check_same_tokenizer(candidate.model, trusted.model, allow_template=request.allow_template)
    if replayed is not None:
        check_same_tokens(replayed, candidate.model)
    models = _models(candidate, adapter, trusted, replayed, request.placement)
    if models.placement.kind == "turns" and len(models.here) < 2:
        raise InputError(
            "placement `turns` is for two models that are served here, and this run starts one engine alone; "
            "write `placement: together`"
        )
    return models


def find_models(sides: Mapping[str, Any], placement: Placement) -> Models:
    """The models of the `sides` of a run.json, as they are now."""
    adapter = sides["candidate"].get("adapter")
    candidate = read_side(Path(sides["candidate"]["path"]), _stored_endpoint(sides["candidate"], "candidate"))
    trusted = read_side(Path(sides["trusted"]["path"]), _stored_endpoint(sides["trusted"], "trusted"))
    return _models(candidate, None if adapter is None else read_adapter(Path(adapter)), trusted, None, placement)


def context_of(models: Models) -> int:
    """Tokens that both models can hold."""
    return min((models.trusted or models.candidate).context_length, models.candidate.context_length)


def described(models: Models) -> dict[str, Any]:
    """The `sides` of run.json."""
    candidate = _described(models.candidate, models, "candidate")
    if models.adapter is not None:
        candidate |= {"adapter": str(models.adapter.path), "adapter_digest": models.adapter.digest}
    if models.trusted is not None:
        return {"candidate": candidate, "trusted": _described(models.trusted, models, "trusted")}
    assert models.replayed is not None
    return {"candidate": candidate, "trusted": models.replayed.side}


def texts(models: Models) -> dict[str, Any]:
    """What decides how a chat becomes tokens, in words, so that two sides can be compared line by line."""
    if models.replayed is None:
        assert models.trusted is not None
        trusted = deciding_texts(models.trusted)
    else:
        trusted = models.replayed.settings.get("texts", {}).get("trusted", {})
    return {"candidate": deciding_texts(models.candidate), "trusted": trusted}


def engine_record(models: Models, *, max_model_len: int, top_k: int, settings: Settings) -> dict[str, Any]:
    """What the engines on this machine are started with, the models left out; what the sides do not share by side."""
    if not models.here:
        return {}
    setup = Setup(max_model_len, top_k, "", settings, models.placement)
    of_level = side_arguments(models.here, setup, gpu=on_gpu())
    return as_recorded(next(iter(of_level.values())), models.here)


async def open_models(
    models: Models, serving: Serving, *, max_model_len: int, top_k: int, tool_format: str, settings: Settings
) -> Engines:
    """Serve both sides in the ways of `settings`, or ask their servers; a replayed side answers from what is stored."""
    options = {"max_model_len": max_model_len, "top_k": top_k, "tool_format": tool_format}
    here = {"settings": settings, "placement": models.placement}
    if models.served and settings:
        raise InputError(
            f"{models.served[0].endpoint.address}: a server serves in one way, and the suite has a factor over "
            "engine settings; name model folders, or a suite without it"
        )
    adapter = None if models.adapter is None else models.adapter.path
    if models.trusted is not None and not models.served:
        return await serving.engines(models.candidate.path, adapter, models.trusted.path, **options, **here)
    renderer = Renderer((models.trusted or models.candidate).path)

    async def one(side: str, model: Model, adapter: Path | None) -> Engine:
        server = models.server(side)
        if server is not None:
            return await serving.endpoint(server.endpoint, renderer, **options)
        return await serving.engine(model.path, adapter, **options, **here, side=side)

    candidate = await one("candidate", models.candidate, adapter)
    if models.replayed is not None:
        return Engines(candidate, ReplayEngine(models.replayed.parts.path, side="trusted"))
    assert models.trusted is not None
    try:
        return Engines(candidate, await one("trusted", models.trusted, None))
    except DiffbehavError:
        await candidate.close()
        raise


def read_side(folder: Path, endpoint: Endpoint | None) -> Told:
    """The model in a folder; of a served one what the folder declares, and what the server says of it."""
    if endpoint is None:
        return Told(read_model(folder), None)
    served = look_at(endpoint)
    model = read_declared(folder, address=endpoint.address, context_length=served.context_length)
    return Told(model, served)


def _stored_endpoint(side: Mapping[str, Any], name: Literal["candidate", "trusted"]) -> Endpoint | None:
    return endpoint_of(side["endpoint"], name) if "endpoint" in side else None


def _models(
    candidate: Told, adapter: Adapter | None, trusted: Told | None, replayed: Replayed | None, placement: Placement
) -> Models:
    served = [side.served for side in (candidate, trusted) if side is not None and side.served is not None]
    return Models(candidate.model, adapter, None if trusted is None else trusted.model, replayed, served, placement)


def _described(model: Model, models: Models, side: Side) -> dict[str, Any]:
    server, chosen = models.server(side), models.placement.meaning(side)
    found = {
        "path": str(model.path),
        "digest": model.digest,
        "files": dict(model.files),
        "tokenizer": model.tokenizer_digest,
        "template": model.template_digest,
        "architecture": model.architecture,
    }
    if server is not None:
        return found | {"endpoint": server.endpoint.address, "weights": NOT_SEEN, "vllm": server.version}
    return found | ({"engine": chosen} if chosen else {})
