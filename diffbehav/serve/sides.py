"""What vLLM is started with for each side: what the machine decides, what was chosen, and how GPUs are shared."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from diffbehav.errors import InputError
from diffbehav.serve.environment import on_gpu
from diffbehav.serve.placement import TOGETHER, Placement, Side
from diffbehav.serve.profile import NOT_SET, Setting, engine_arguments, in_turns

Settings = Mapping[str, Setting]
ONE_WAY: Settings = MappingProxyType({})
"""The suite has no factor over engine settings."""
ONLY = ""
"""The level of a suite without such a factor."""
_GPU_ONLY = (
    "device_ids", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "gpu_memory_utilization",
    "quantization",
)  # fmt: skip
_ROUNDING = 1e-9


class OneSide(NamedTuple):
    """A model folder that is served, with the adapters over it."""

    name: Side
    folder: Path
    adapters: Sequence[Path]


class Setup(NamedTuple):
    """How both sides are served."""

    max_model_len: int
    top_k: int
    tool_format: str
    settings: Settings = ONE_WAY
    placement: Placement = TOGETHER


def shares_process(candidate: Path, adapter: Path | None, trusted: Path, placement: Placement) -> bool:
    """Whether the candidate is an adapter of the trusted model and is served by the same engine."""
    same = adapter is not None and candidate.resolve() == trusted.resolve()
    return same and placement.candidate == placement.trusted


def check_placement(placement: Placement, settings: Settings) -> None:
    """InputError for what this machine cannot have, or a suite says already."""
    for side in ("candidate", "trusted"):
        chosen = placement.candidate if side == "candidate" else placement.trusted
        twice = sorted({name for setting in settings.values() for name in setting} & chosen.keys())
        if twice:
            raise InputError(
                f"{side}.engine sets {', '.join(twice)}, and so does the suite's factor over engine settings; "
                "remove it from the one or the other"
            )
    if placement.kind == "ray" or placement == TOGETHER or on_gpu():
        return
    if placement.kind == "turns":
        raise InputError(
            "placement `turns` lets one side sleep while the other has the GPU, and on a CPU vLLM has no sleep mode; "
            "write `placement: together`"
        )
    for side, chosen in (("candidate", placement.candidate), ("trusted", placement.trusted)):
        if unfit := [name for name in _GPU_ONLY if chosen.get(name, 1) != 1]:
            shown = ", ".join("devices" if name == "device_ids" else name for name in unfit)
            raise InputError(f"{side}.engine sets {shown}, which needs a GPU, and vLLM runs on a CPU here; remove it")
    check_cpu(placement.candidate)
    check_cpu(placement.trusted)


def check_cpu(setting: Setting) -> None:
    """InputError for what would fail only when the engine has started, or at its first request."""
    if setting.get("quantization") is not None:
        raise InputError(f"quantization {setting['quantization']!r} is served on a GPU only")
    compiler = os.environ.get("CXX", "g++")
    if setting.get("enforce_eager") is False and not shutil.which(compiler):
        raise InputError(f"vLLM compiles for a CPU with a C++ compiler, and there is no {compiler!r}")


def side_arguments(served: Sequence[OneSide], setup: Setup, *, gpu: bool) -> dict[str, list[dict[str, Any]]]:
    """Level (ONLY where there is one way) -> arguments of an engine for each of `served`.

    InputError where engines would take more than a whole GPU together.
    """
    ways = setup.settings or {ONLY: NOT_SET}
    placement = setup.placement
    turns = placement.kind == "turns"
    awake = [[side] for side in served] if turns else [list(served)]
    found: dict[str, list[dict[str, Any]]] = {level: [] for level in ways}
    for together in awake:
        devices = {side.name: _devices(placement.arguments(side.name)) for side in together}
        for side in together:
            sharing = sum(not devices[side.name].isdisjoint(each) for each in devices.values()) * len(ways)
            chosen = {**(in_turns(sharing) if turns else {}), **placement.arguments(side.name)}
            for level, setting in ways.items():
                found[level].append(
                    engine_arguments(
                        side.folder, adapters=side.adapters, max_model_len=setup.max_model_len, top_k=setup.top_k,
                        engines=sharing, gpu=gpu, setting=setting, extra=chosen,
                    )
                )  # fmt: skip
        if gpu:
            _check_memory([own for of_level in found.values() for own in of_level[-len(together) :]])
    return found


def as_recorded(arguments: Sequence[Mapping[str, Any]], served: Sequence[OneSide]) -> dict[str, Any]:
    """What the engines of `served` have in common, and below the name of a side what they have not."""
    names = [name for name in dict.fromkeys(name for each in arguments for name in each) if name != "model"]
    first = arguments[0]
    common = [name for name in names if all(name in each and each[name] == first[name] for each in arguments)]
    recorded: dict[str, Any] = {name: first[name] for name in common}
    for side, each in zip(served, arguments, strict=True):
        own = {name: each[name] for name in names if name in each and name not in common}
        recorded |= {side.name: own} if own else {}
    return recorded


def _devices(chosen: Setting) -> set[int]:
    parts = prod(chosen.get(f"{kind}_parallel_size", 1) for kind in ("tensor", "pipeline", "data"))
    return set(chosen.get("device_ids") or range(parts))


def _check_memory(arguments: Sequence[Mapping[str, Any]]) -> None:
    for device, share in _shares(arguments):
        if share > 1 + _ROUNDING:
            raise InputError(
                f"GPU {device}: the engines that are open at once would take {share:.2f} of its memory; lower "
                "`gpu_memory_utilization`, name other `devices`, or write `placement: turns`"
            )


def _shares(arguments: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, float]]:
    taken = [(_devices(each), each["gpu_memory_utilization"]) for each in arguments]
    for device in sorted(set().union(*(devices for devices, _ in taken))):
        yield device, sum(share for devices, share in taken if device in devices)
