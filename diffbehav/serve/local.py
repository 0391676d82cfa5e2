"""Opens the engines of a comparison on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from diffbehav.serve.engine import Engine, Engines
from diffbehav.serve.environment import on_gpu, prepare, quiet
from diffbehav.serve.profile import engine_arguments
from diffbehav.serve.rendering import Renderer
from diffbehav.serve.tool_format import chosen_format


class _Side(NamedTuple):
    folder: Path
    adapter: Path | None


class _Setup(NamedTuple):
    max_model_len: int
    top_k: int
    tool_format: str


async def open_engines(
    candidate: Path, adapter: Path | None, trusted: Path, *, max_model_len: int, top_k: int, tool_format: str
) -> Engines:
    """Serve both model folders with vLLM; `candidate` is the base of `adapter` where there is one.

    An adapter of the trusted model shares the trusted model's process. Both sides speak with its tokenizer.
    """
    sides = [_Side(candidate, adapter), _Side(trusted, None)]
    shared = adapter is not None and candidate.resolve() == trusted.resolve()
    setup = _Setup(max_model_len, top_k, tool_format)
    return Engines(*await _open(sides, Renderer(trusted), setup, shared=shared))


async def open_engine(
    folder: Path, adapter: Path | None, *, max_model_len: int, top_k: int, tool_format: str
) -> Engine:
    """Serve one model folder, where the other side is replayed."""
    setup = _Setup(max_model_len, top_k, tool_format)
    (engine,) = await _open([_Side(folder, adapter)], Renderer(folder), setup, shared=False)
    return engine


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
    shape = {"max_model_len": setup.max_model_len, "top_k": setup.top_k, "engines": len(served)}
    models = await start_models(
        [engine_arguments(side.folder, adapter=side.adapter, gpu=gpu, **shape) for side in served], gpu=gpu
    )
    return [
        VllmEngine(
            model,
            renderer=renderer,
            parser=parser,
            top_k=setup.top_k,
            adapter=None if side.adapter is None else LoRARequest("candidate", 1, str(side.adapter)),
            score_while_drawing=not gpu,
        )
        for side, model in zip(sides, models * 2 if shared else models, strict=True)
    ]
