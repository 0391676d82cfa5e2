"""Opens the engines of a comparison on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from diffbehav.serve.engine import Engine
from diffbehav.serve.environment import on_gpu, prepare, quiet
from diffbehav.serve.profile import engine_arguments
from diffbehav.serve.rendering import Renderer


class Engines(NamedTuple):
    """The two sides of a comparison; they may share one process."""

    candidate: Engine
    trusted: Engine


class _Side(NamedTuple):
    folder: Path
    adapter: Path | None


async def open_engines(
    candidate: Path, adapter: Path | None, trusted: Path, *, max_model_len: int, top_k: int, tool_format: str
) -> Engines:
    """Serve both model folders with vLLM; `candidate` is the base of `adapter` where there is one.

    An adapter of the trusted model shares the trusted model's process. Both sides speak with its tokenizer.
    """
    sides = [_Side(candidate, adapter), _Side(trusted, None)]
    shared = adapter is not None and candidate.resolve() == trusted.resolve()
    options = {"max_model_len": max_model_len, "top_k": top_k, "tool_format": tool_format}
    return Engines(*await _open(sides, Renderer(trusted), shared=shared, **options))


async def open_engine(
    folder: Path, adapter: Path | None, *, max_model_len: int, top_k: int, tool_format: str
) -> Engine:
    """Serve one model folder, where the other side is replayed."""
    options = {"max_model_len": max_model_len, "top_k": top_k, "tool_format": tool_format}
    (engine,) = await _open([_Side(folder, adapter)], Renderer(folder), shared=False, **options)
    return engine


async def _open(
    sides: Sequence[_Side], renderer: Renderer, *, shared: bool, max_model_len: int, top_k: int, tool_format: str
) -> list[Engine]:
    prepare()
    gpu = on_gpu()
    # vLLM reads the environment when it is imported, so not before prepare().
    with quiet():
        from vllm.lora.request import LoRARequest

        from diffbehav.serve.served_model import start_models
        from diffbehav.serve.tool_parser import ToolCallParser
        from diffbehav.serve.vllm_engine import VllmEngine

    served = sides[:1] if shared else sides
    arguments = [
        engine_arguments(
            side.folder, adapter=side.adapter, max_model_len=max_model_len, top_k=top_k, engines=len(served), gpu=gpu
        )
        for side in served
    ]
    parser = ToolCallParser(renderer.tokenizer, tool_format=tool_format)
    models = await start_models(arguments, gpu=gpu)
    return [
        VllmEngine(
            models[0] if shared else model,
            renderer=renderer,
            parser=parser,
            top_k=top_k,
            adapter=None if side.adapter is None else LoRARequest("candidate", 1, str(side.adapter)),
        )
        for side, model in zip(sides, models * len(sides), strict=False)
    ]
