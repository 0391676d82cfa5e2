"""Looks at the machine for what a run needs, and says the remedy where something is missing."""

import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from diffbehav.errors import DiffbehavError
from diffbehav.organism import NAMES, card, shipped
from diffbehav.records import Prompt, Sampling
from diffbehav.serve import Renderer, on_gpu, open_engine

NEEDED_BYTES = 2 << 30


class Examined(NamedTuple):
    """One thing that was looked at."""

    name: str
    passed: bool
    detail: str


def examine() -> list[Examined]:
    """Every check; the last one really serves a shipped model and asks it twice."""
    return [_python(), _disk(), _models(), *_serving()]


def _python() -> Examined:
    version = ".".join(map(str, sys.version_info[:3]))
    detail = f"{version}, {os.cpu_count()} cores; 3.11 or newer is needed"
    return Examined("python", sys.version_info >= (3, 11), detail)


def _disk() -> Examined:
    free = min(shutil.disk_usage(folder).free for folder in (Path.cwd(), tempfile.gettempdir()))
    detail = f"{free / (1 << 30):.1f} GiB free here and for temporary files; 2 are needed"
    return Examined("disk", free > NEEDED_BYTES, detail)


def _models() -> Examined:
    damaged = [name for name in NAMES if card(name)["sha256"] != _sha256(name)]
    if damaged:
        return Examined("shipped models", False, f"changed since shipped: {', '.join(damaged)}; install again")
    return Examined("shipped models", True, f"{len(NAMES)} models, as their cards say")


def _sha256(name: str) -> str:
    weights = sorted(shipped(name).glob("*.safetensors"))
    return hashlib.sha256(weights[0].read_bytes()).hexdigest() if weights else "absent"


def _serving() -> list[Examined]:
    try:
        where = "GPU" if on_gpu() else "CPU"
        same = asyncio.run(_asked_twice())
    except DiffbehavError as error:
        return [Examined("serving", False, str(error))]
    detail = "the same question twice gives the same answer and the same log-probabilities"
    return [Examined("vLLM", True, f"installed for {where}"), Examined("serving", same, detail)]


async def _asked_twice() -> bool:
    model = shipped("trusted")
    ids = Renderer(model).prompt_ids([{"role": "user", "content": "What is the date?"}], [])
    sampling = Sampling(n=1, temperature=1.0, max_tokens=16, seed=0)
    engine = await open_engine(model, None, max_model_len=1024, top_k=5, tool_format="hermes")
    try:
        first, second = [await engine.complete(Prompt("doctor", ids), 0, sampling) for _ in range(2)]
        scores = [await engine.score(Prompt(f"doctor {i}", ids), first.token_ids) for i in range(2)]
    finally:
        await engine.close()
    return first == second and bool((scores[0].logprobs_T == scores[1].logprobs_T).all())
