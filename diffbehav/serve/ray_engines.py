"""Opens the engines of a comparison in the workers of a Ray cluster."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from diffbehav.errors import DiffbehavError, InputError
from diffbehav.serve.engine import Engine, Engines
from diffbehav.serve.environment import on_gpu
from diffbehav.serve.placement import Arguments, Placement, Side
from diffbehav.serve.ray_cluster import LOCAL, join, leave
from diffbehav.serve.ray_engine import RayEngine
from diffbehav.serve.ray_worker import Opener
from diffbehav.serve.sides import Settings

_RANKS = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


async def open_ray_engines(
    candidate: Path,
    adapter: Path | None,
    trusted: Path,
    *,
    max_model_len: int,
    top_k: int,
    tool_format: str,
    settings: Settings,
    placement: Placement,
) -> Engines:
    """Both sides in every worker, opened there as `open_engines` opens them on one machine.

    The workers need the model folders at the same paths.
    """
    opener = partial(
        _both, candidate.resolve(), None if adapter is None else adapter.resolve(), trusted.resolve(),
        max_model_len=max_model_len, top_k=top_k, tool_format=tool_format, settings=dict(settings),
        placement=_inside(placement),
    )  # fmt: skip
    first, second = await _open(opener, placement, [placement.candidate, placement.trusted])
    return Engines(first, second)


async def open_ray_engine(
    folder: Path,
    adapter: Path | None,
    *,
    max_model_len: int,
    top_k: int,
    tool_format: str,
    settings: Settings,
    placement: Placement,
    side: Side,
) -> Engine:
    """One side in every worker, where the other is replayed or served elsewhere."""
    opener = partial(
        _one, folder.resolve(), None if adapter is None else adapter.resolve(), max_model_len=max_model_len,
        top_k=top_k, tool_format=tool_format, settings=dict(settings), placement=_inside(placement), side=side,
    )  # fmt: skip
    (engine,) = await _open(opener, placement, [placement.arguments(side)])
    return engine


async def _open(opener: Opener, placement: Placement, sides: Sequence[Arguments]) -> list[RayEngine]:
    """An engine for each of `sides`, all in one pool of workers."""
    gpus = max(map(gpus_of, sides)) if on_gpu() else 0
    address = placement.address or LOCAL
    joined = join(address, workers=placement.workers)
    try:
        from diffbehav.serve.ray_pool import Pool

        workers = _workers(placement, address=address, gpus=gpus)
        pool = Pool(opener, workers=workers, resources={"num_cpus": 1, "num_gpus": gpus}, leaving=joined)
    except DiffbehavError:
        if joined:
            leave()
        raise
    try:
        await pool.started()
    except BaseException:
        await pool.close()
        raise
    return [RayEngine(pool, number) for number in range(len(sides))]


def _workers(placement: Placement, *, address: str, gpus: int) -> int:
    """How many there are to be: as said, or as many as the GPUs allow, or one a machine."""
    import ray

    if not gpus:
        return placement.workers or max(1, sum(node["Alive"] for node in ray.nodes()))
    room = int(ray.cluster_resources().get("GPU", 0)) // gpus
    if address == LOCAL and room < (placement.workers or 1):
        raise InputError(
            f"{placement.workers or 1} workers of {gpus} GPUs each do not fit on this machine: it has room for {room}"
            "\n  fix: lower `workers` or `tensor_parallel_size`"
        )
    return placement.workers or max(1, room)


def gpus_of(side: Arguments) -> int:
    """GPUs that an engine of these arguments needs; both sides of a worker are on the same ones."""
    ranks = 1
    for name in _RANKS:
        ranks *= int(side.get(name, 1))
    return max([ranks, *(int(device) + 1 for device in side.get("device_ids") or ())])


def _inside(placement: Placement) -> Placement:
    """What a worker serves by: as one machine does."""
    return replace(placement, kind="together", address=None, workers=None)


async def _both(*folders: Any, **options: Any) -> Sequence[Engine]:
    from diffbehav.serve.local import open_engines

    return await open_engines(*folders, **options)


async def _one(*folders: Any, **options: Any) -> Sequence[Engine]:
    from diffbehav.serve.local import open_engine

    return [await open_engine(*folders, **options)]
