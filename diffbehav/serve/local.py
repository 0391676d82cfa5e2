"""Opens the engines of a comparison on this machine."""

import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from diffbehav.errors import InputError
from diffbehav.serve.endpoint import open_endpoint
from diffbehav.serve.engine import Engine, Engines
from diffbehav.serve.environment import on_gpu, prepare, quiet
from diffbehav.serve.profile import NOT_SET, Setting, engine_arguments
from diffbehav.serve.rendering import Renderer
from diffbehav.serve.routed import Routed
from diffbehav.serve.tool_format import chosen_format

Settings = Mapping[str, Setting]
ONE_WAY: Settings = MappingProxyType({})
"""The suite has no factor over engine settings."""
_ONLY = ""


class _Side(NamedTuple):
    folder: Path
    adapter: Path | None


class _Setup(NamedTuple):
    max_model_len: int
    top_k: int
    tool_format: str
    settings: Settings


async def open_engines(
    candidate: Path,
    adapter: Path | None,
    trusted: Path,
    *,
    max_model_len: int,
    top_k: int,
    tool_format: str,
    settings: Settings = ONE_WAY,
) -> Engines:
    """Serve both model folders with vLLM; `candidate` is the base of `adapter` where there is one.

    An adapter of the trusted model shares the trusted model's process. Both sides speak with its tokenizer. With
    `settings` (level of the suite's engine factor -> arguments) both are served in each of these ways at once;
    InputError where one cannot be had.
    """
    sides = [_Side(candidate, adapter), _Side(trusted, None)]
    shared = adapter is not None and candidate.resolve() == trusted.resolve()
    setup = _Setup(max_model_len, top_k, tool_format, settings)
    return Engines(*await _open(sides, Renderer(trusted), setup, shared=shared))


async def open_engine(
    folder: Path,
    adapter: Path | None,
    *,
    max_model_len: int,
    top_k: int,
    tool_format: str,
    settings: Settings = ONE_WAY,
) -> Engine:
    """Serve one model folder, where the other side is replayed."""
    setup = _Setup(max_model_len, top_k, tool_format, settings)
    (engine,) = await _open([_Side(folder, adapter)], Renderer(folder), setup, shared=False)
    return engine


class Serving(NamedTuple):
    """How a job opens its engines; the functions are called as those of this module."""

    engine: Callable[..., Awaitable[Engine]]
    engines: Callable[..., Awaitable[Engines]]
    endpoint: Callable[..., Awaitable[Engine]] = open_endpoint


VLLM = Serving(open_engine, open_engines)


async def _open(sides: Sequence[_Side], renderer: Renderer, setup: _Setup, *, shared: bool) -> list[Engine]:
    prepare()
    gpu = on_gpu()
    # vLLM reads the environment when it is imported, so not before prepare().
    with quiet():
        from vllm.lora.request import LoRARequest

        from diffbehav.serve.served_model import start_models
        from diffbehav.serve.tool_parser import ToolCallParser
        from diffbehav.serve.vllm_engine import VllmEngine

        tool_format = chosen_format(setup.tool_format, renderer)
        parser = ToolCallParser(renderer.tokenizer, tool_format=tool_format)
    served = sides[:1] if shared else sides
    arguments = _arguments(served, setup, gpu=gpu)
    models = iter(await start_models([each for own in arguments.values() for each in own], gpu=gpu))
    engines = list[dict[str, Engine]]([{} for _ in sides])
    for level, own in arguments.items():
        started = [next(models) for _ in own]
        for side, model, of_side in zip(sides, started * 2 if shared else started, engines, strict=True):
            of_side[level] = VllmEngine(
                model,
                renderer=renderer,
                parser=parser,
                top_k=setup.top_k,
                adapter=None if side.adapter is None else LoRARequest("candidate", 1, str(side.adapter)),
                score_while_drawing=not gpu and own[0]["dtype"] == "float32",
            )
    return [Routed(of_side) if setup.settings else of_side[_ONLY] for of_side in engines]


def _arguments(served: Sequence[_Side], setup: _Setup, *, gpu: bool) -> dict[str, list[dict[str, Any]]]:
    """Level -> arguments of an engine for each folder; InputError where a setting cannot be had."""
    from diffbehav.serve.served_model import check_setting

    ways = setup.settings or {_ONLY: NOT_SET}
    shape = {"max_model_len": setup.max_model_len, "top_k": setup.top_k, "engines": len(served) * len(ways)}
    found = {
        level: [engine_arguments(s.folder, adapter=s.adapter, gpu=gpu, setting=setting, **shape) for s in served]
        for level, setting in ways.items()
    }
    for level, setting in setup.settings.items():
        try:
            if not gpu:
                _check_cpu(setting)
            for each in found[level]:
                check_setting(each, gpu=gpu)
        except InputError as error:
            reason = f"the engine setting {level!r} cannot be had: {error}"
            raise InputError(f"{reason}\n  fix: remove this level from the suite") from error
    return found


def _check_cpu(setting: Setting) -> None:
    """InputError for what would fail only when the engine has started, or at its first request."""
    if setting["quantization"] is not None:
        raise InputError(f"quantization {setting['quantization']!r} is served on a GPU only")
    compiler = os.environ.get("CXX", "g++")
    if not (setting["enforce_eager"] or shutil.which(compiler)):
        raise InputError(f"vLLM compiles for a CPU with a C++ compiler, and there is no {compiler!r}")
