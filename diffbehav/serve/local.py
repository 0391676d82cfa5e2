"""Opens the engines of a comparison on this machine."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from diffbehav.errors import InputError
from diffbehav.serve.endpoint import open_endpoint
from diffbehav.serve.engine import Engine, Engines
from diffbehav.serve.environment import on_gpu, prepare, quiet
from diffbehav.serve.placement import TOGETHER, Placement, Side
from diffbehav.serve.rendering import Renderer
from diffbehav.serve.routed import Routed
from diffbehav.serve.sides import (
    ONE_WAY,
    ONLY,
    OneSide,
    Settings,
    Setup,
    check_cpu,
    check_placement,
    shares_process,
    side_arguments,
)
from diffbehav.serve.tool_format import chosen_format
from diffbehav.serve.turns import Turned, Turns

if TYPE_CHECKING:
    from diffbehav.serve.served_model import ServedModel
    from diffbehav.serve.tool_parser import ToolCallParser

Result = TypeVar("Result")
OfLevel = Mapping[str, "ServedModel"]
"""Level of the suite's engine factor, ONLY where it has none -> the model that is served so."""


async def open_engines(
    candidate: Path,
    adapter: Path | None,
    trusted: Path,
    *,
    max_model_len: int,
    top_k: int,
    tool_format: str,
    settings: Settings = ONE_WAY,
    placement: Placement = TOGETHER,
) -> Engines:
    """Serve both model folders with vLLM; `candidate` is the base of `adapter` where there is one.

    An adapter of the trusted model shares the trusted model's process, unless other arguments were chosen for it. Both
    sides speak with its tokenizer. With `settings` (level of the suite's engine factor -> arguments) both are served in
    each of these ways at once; InputError where one cannot be had.
    """
    if placement.kind == "ray":
        from diffbehav.serve.ray_engines import open_ray_engines

        return await open_ray_engines(
            candidate, adapter, trusted, max_model_len=max_model_len, top_k=top_k, tool_format=tool_format,
            settings=settings, placement=placement,
        )  # fmt: skip
    setup = Setup(max_model_len, top_k, tool_format, settings, placement)
    sides = [OneSide("candidate", candidate, () if adapter is None else (adapter,)), OneSide("trusted", trusted, ())]
    shared = shares_process(candidate, adapter, trusted, placement)
    if shared and placement.kind == "turns":
        raise InputError(
            f"{adapter}: an adapter shares the engine of its base, so there are no turns to take; "
            "write `placement: together`"
        )
    speech = speech_of(trusted, setup)
    models = await start(sides[:1] if shared else sides, setup)
    of_side = [models[0], models[0]] if shared else models
    engines = [
        engine_over(of_level, speech, setup, adapter=(1, side.adapters[0]) if side.adapters else None)
        for of_level, side in zip(of_side, sides, strict=True)
    ]
    if placement.kind == "turns":
        turns = Turns({side.name: _Awake(list(own.values())) for side, own in zip(sides, models, strict=True)})
        return Engines(*(Turned(engine, side.name, turns) for side, engine in zip(sides, engines, strict=True)))
    return Engines(*engines)


async def open_engine(
    folder: Path,
    adapter: Path | None,
    *,
    max_model_len: int,
    top_k: int,
    tool_format: str,
    settings: Settings = ONE_WAY,
    placement: Placement = TOGETHER,
    side: Side = "candidate",
) -> Engine:
    """Serve one model folder, where the other side is replayed or served elsewhere."""
    if placement.kind == "ray":
        from diffbehav.serve.ray_engines import open_ray_engine

        return await open_ray_engine(
            folder, adapter, max_model_len=max_model_len, top_k=top_k, tool_format=tool_format, settings=settings,
            placement=placement, side=side,
        )  # fmt: skip
    if placement.kind == "turns":
        raise InputError("one model alone takes no turns with another; write `placement: together`")
    setup = Setup(max_model_len, top_k, tool_format, settings, placement)
    speech = speech_of(folder, setup)
    (models,) = await start([OneSide(side, folder, () if adapter is None else (adapter,))], setup)
    return engine_over(models, speech, setup, adapter=None if adapter is None else (1, adapter))


class Run(Protocol):
    """Runs work to its end, as asyncio.run does."""

    def __call__(self, main: Coroutine[Any, Any, Result], /) -> Result: ...


class Serving(NamedTuple):
    """How a job opens its engines; the functions are called as those of this module."""

    engine: Callable[..., Awaitable[Engine]]
    engines: Callable[..., Awaitable[Engines]]
    endpoint: Callable[..., Awaitable[Engine]] = open_endpoint
    run: Run = asyncio.run
    """What a job runs in: engines that stay open over several jobs belong to one event loop."""


VLLM = Serving(open_engine, open_engines)


class Speech(NamedTuple):
    """What makes tokens of a chat, and calls of an answer."""

    renderer: Renderer
    parser: "ToolCallParser"


def speech_of(folder: Path, setup: Setup) -> Speech:
    """The speech of the model in `folder`; made before an engine starts, because a tool format may be unknown."""
    prepare()
    # vLLM reads the environment when it is imported, so not before prepare().
    with quiet():
        from diffbehav.serve.tool_parser import ToolCallParser
    renderer = Renderer(folder)
    tool_format = chosen_format(setup.tool_format, renderer)
    return Speech(renderer, ToolCallParser(renderer.tokenizer, tool_format=tool_format))


async def start(served: Sequence[OneSide], setup: Setup) -> list[OfLevel]:
    """Start an engine for each of `served` and level; what was started is ended where one does not start."""
    prepare()
    gpu = on_gpu()
    check_placement(setup.placement, setup.settings)
    arguments = side_arguments(served, setup, gpu=gpu)
    with quiet():
        from diffbehav.serve.served_model import start_models
    _check_servable(arguments, setup, served, gpu=gpu)
    flat = [own for of_level in arguments.values() for own in of_level]
    models = await start_models(flat, gpu=gpu, asleep=setup.placement.kind == "turns")
    return [dict(zip(arguments, models[at :: len(served)], strict=True)) for at in range(len(served))]


def engine_over(
    models: OfLevel, speech: Speech, setup: Setup, *, adapter: tuple[int, Path] | None, keep_model: bool = False
) -> Engine:
    """An engine over started models, whose adapter has a number of its own in their process."""
    from vllm.lora.request import LoRARequest

    from diffbehav.serve.vllm_engine import VllmEngine

    lora = None if adapter is None else LoRARequest(f"adapter-{adapter[0]}", adapter[0], str(adapter[1]))
    of_level = {
        level: VllmEngine(
            model,
            renderer=speech.renderer,
            parser=speech.parser,
            top_k=setup.top_k,
            max_model_len=setup.max_model_len,
            adapter=lora,
            score_while_drawing=not on_gpu() and model.dtype == "float32",
            keep_model=keep_model,
        )
        for level, model in models.items()
    }
    return Routed(of_level) if setup.settings else of_level[ONLY]


class _Awake:
    """What one side holds of the GPU."""

    def __init__(self, models: Sequence["ServedModel"]) -> None:
        self._models = models

    async def sleep(self) -> None:
        """All of the side's engines."""
        for model in self._models:
            await model.sleep()

    async def wake(self) -> None:
        """All of them again."""
        for model in self._models:
            await model.wake()


def _check_servable(
    arguments: Mapping[str, Sequence[Mapping[str, Any]]], setup: Setup, served: Sequence[OneSide], *, gpu: bool
) -> None:
    """InputError where vLLM would serve in another way than a level of the suite or the models file says."""
    from diffbehav.serve.served_model import check_setting

    for level, setting in setup.settings.items():
        try:
            if not gpu:
                check_cpu(setting)
            for each in arguments[level]:
                check_setting(each, gpu=gpu)
        except InputError as error:
            reason = f"the engine setting {level!r} cannot be had: {error}"
            raise InputError(f"{reason}\n  fix: remove this level from the suite") from error
    if not setup.settings:
        for side, own in zip(served, arguments[ONLY], strict=True):
            if setup.placement.meaning(side.name):
                check_setting(own, gpu=gpu)
