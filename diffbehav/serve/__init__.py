"""Engines: what answers and scores conditions. Importing this room imports no vLLM, torch or transformers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffbehav.serve.endpoint import NOT_SEEN, Endpoint, Served, endpoint_of, is_address, look_at, open_endpoint
    from diffbehav.serve.engine import Engine, Engines, NotServed, NotStored
    from diffbehav.serve.environment import on_gpu, prepare
    from diffbehav.serve.local import VLLM, Serving, open_engine, open_engines
    from diffbehav.serve.parsed import Parsed
    from diffbehav.serve.placement import TOGETHER, Placement
    from diffbehav.serve.ray_engine import RayEngine, pool_of
    from diffbehav.serve.rendering import Renderer
    from diffbehav.serve.replay import ReplayEngine
    from diffbehav.serve.routed import Routed
    from diffbehav.serve.selfcheck import Check, check_engines
    from diffbehav.serve.series import Series
    from diffbehav.serve.tool_format import AUTO, chosen_format
    from diffbehav.serve.tool_parser import FORMATS, ToolCallParser

_HOMES = {
    "NOT_SEEN": "endpoint",
    "Endpoint": "endpoint",
    "Served": "endpoint",
    "endpoint_of": "endpoint",
    "is_address": "endpoint",
    "look_at": "endpoint",
    "open_endpoint": "endpoint",
    "Engine": "engine",
    "NotServed": "engine",
    "NotStored": "engine",
    "on_gpu": "environment",
    "prepare": "environment",
    "Engines": "engine",
    "Serving": "local",
    "VLLM": "local",
    "open_engine": "local",
    "open_engines": "local",
    "RayEngine": "ray_engine",
    "pool_of": "ray_engine",
    "Placement": "placement",
    "TOGETHER": "placement",
    "Renderer": "rendering",
    "ReplayEngine": "replay",
    "Routed": "routed",
    "Series": "series",
    "Check": "selfcheck",
    "check_engines": "selfcheck",
    "AUTO": "tool_format",
    "chosen_format": "tool_format",
    "FORMATS": "tool_parser",
    "Parsed": "parsed",
    "ToolCallParser": "tool_parser",
}

__all__ = [
    "AUTO",
    "FORMATS",
    "NOT_SEEN",
    "TOGETHER",
    "VLLM",
    "Check",
    "Endpoint",
    "Engine",
    "Engines",
    "NotServed",
    "NotStored",
    "Parsed",
    "Placement",
    "RayEngine",
    "Renderer",
    "ReplayEngine",
    "Routed",
    "Series",
    "Served",
    "Serving",
    "ToolCallParser",
    "check_engines",
    "chosen_format",
    "endpoint_of",
    "is_address",
    "look_at",
    "on_gpu",
    "open_endpoint",
    "open_engine",
    "open_engines",
    "pool_of",
    "prepare",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
