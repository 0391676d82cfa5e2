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
    Endpoint,
    Engine,
    Engines,
    Renderer,
    ReplayEngine,
    Served,
    Serving,
    endpoint_of,
    look_at,
)
from diffbehav.serve.local import Settings


@dataclass(frozen=True, slots=True)
class Models:
    """The two sides as files, and the servers of those that are served elsewhere."""

    candidate: Model
    adapter: Adapter | None
    trusted: Model | None
    """None where the trusted side is replayed."""
    replayed: Replayed | None
    served: Sequence[Served] = ()

    @property
    def folders(self) -> list[Path]:
        """Of the models that are to be served on this machine."""
        elsewhere = {each.endpoint.side for each in self.served}
        sides = {"candidate": self.candidate, "trusted": self.trusted}
        return [model.path for side, model in sides.items() if model is not None and side not in elsewhere]

    def server(self, side: str) -> Served | None:
        """What serves a side elsewhere."""
        return next((each for each in self.served if each.endpoint.side == side), None)


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
    def allow_template(self) -> bool: ...
    @property
    def asked_at(self) -> datetime: ...


class _Side(NamedTuple):
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
    candidate = _read(request.candidate, request.candidate_endpoint)
    adapter = None if request.candidate_adapter is None else read_adapter(request.candidate_adapter)
    if adapter is not None:
        check_adapter_fits(adapter, candidate.model)
    trusted = None if replayed else _read(request.trusted, request.trusted_endpoint)
    if trusted is not None:
        check_same_tokenizer(candidate.model, trusted.model, allow_template=request.allow_template)
    if replayed is not None:
        check_same_tokens(replayed, candidate.model)
    return _models(candidate, adapter, trusted, replayed)


def find_models(sides: Mapping[str, Any]) -> Models:
    """The models of the `sides` of a run.json, as they are now."""
    adapter = sides["candidate"].get("adapter")
    candidate = _read(Path(sides["candidate"]["path"]), _stored_endpoint(sides["candidate"], "candidate"))
    trusted = _read(Path(sides["trusted"]["path"]), _stored_endpoint(sides["trusted"], "trusted"))
    return _models(candidate, None if adapter is None else read_adapter(Path(adapter)), trusted, None)


def context_of(models: Models) -> int:
    """Tokens that both models can hold."""
    return min((models.trusted or models.candidate).context_length, models.candidate.context_length)


def described(models: Models) -> dict[str, Any]:
    """The `sides` of run.json."""
    candidate = _described(models.candidate, models.server("candidate"))
    if models.adapter is not None:
        candidate |= {"adapter": str(models.adapter.path), "adapter_digest": models.adapter.digest}
    if models.trusted is not None:
        return {"candidate": candidate, "trusted": _described(models.trusted, models.server("trusted"))}
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


async def open_models(
    models: Models, serving: Serving, *, max_model_len: int, top_k: int, tool_format: str, settings: Settings
) -> Engines:
    """Serve both sides in the ways of `settings`, or ask their servers; a replayed side answers from what is stored."""
    options = {"max_model_len": max_model_len, "top_k": top_k, "tool_format": tool_format}
    if models.served and settings:
        raise InputError(
            f"{models.served[0].endpoint.address}: a server serves in one way, and the suite has a factor over "
            "engine settings; name model folders, or a suite without it"
        )
    adapter = None if models.adapter is None else models.adapter.path
    if models.trusted is not None and not models.served:
        return await serving.engines(
            models.candidate.path, adapter, models.trusted.path, **options, settings=settings
        )
    renderer = Renderer((models.trusted or models.candidate).path)

    async def one(side: str, model: Model, adapter: Path | None) -> Engine:
        server = models.server(side)
        if server is not None:
            return await serving.endpoint(server.endpoint, renderer, **options)
        return await serving.engine(model.path, adapter, **options, settings=settings)

    candidate = await one("candidate", models.candidate, adapter)
    if models.replayed is not None:
        return Engines(candidate, ReplayEngine(models.replayed.parts.path, side="trusted"))
    assert models.trusted is not None
    try:
        return Engines(candidate, await one("trusted", models.trusted, None))
    except DiffbehavError:
        await candidate.close()
        raise


def _read(folder: Path, endpoint: Endpoint | None) -> _Side:
    if endpoint is None:
        return _Side(read_model(folder), None)
    served = look_at(endpoint)
    model = read_declared(folder, address=endpoint.address, context_length=served.context_length)
    return _Side(model, served)


def _stored_endpoint(side: Mapping[str, Any], name: Literal["candidate", "trusted"]) -> Endpoint | None:
    return endpoint_of(side["endpoint"], name) if "endpoint" in side else None


def _models(candidate: _Side, adapter: Adapter | None, trusted: _Side | None, replayed: Replayed | None) -> Models:
    served = [side.served for side in (candidate, trusted) if side is not None and side.served is not None]
    return Models(candidate.model, adapter, None if trusted is None else trusted.model, replayed, served)


def _described(model: Model, server: Served | None) -> dict[str, Any]:
    found = {
        "path": str(model.path),
        "digest": model.digest,
        "files": dict(model.files),
        "tokenizer": model.tokenizer_digest,
        "template": model.template_digest,
        "architecture": model.architecture,
    }
    if server is None:
        return found
    return found | {"endpoint": server.endpoint.address, "weights": NOT_SEEN, "vllm": server.version}
