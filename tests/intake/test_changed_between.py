"""A model folder that changes between collecting a run and going on with it is noticed before an engine starts."""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from diffbehav.collect.run import Request, collect, open_again
from diffbehav.errors import IntegrityError
from diffbehav.organism import shipped
from diffbehav.store import RunFolder
from tests.collect.toy_run import SUITE


class ReachedEngines(Exception):
    """Raised where engines would start."""


def stop_at_engines(stage: str) -> None:
    if stage.startswith("starting the engines"):
        raise ReachedEngines


def go_on(request: Request) -> None:
    """As far as `diffbehav run` gets before it starts engines."""
    with pytest.raises(ReachedEngines):
        collect(request, on_stage=stop_at_engines, on_progress=lambda _: None)


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    """A run of copies of the shipped models, begun."""
    folders = {name: Path(shutil.copytree(shipped(name), tmp_path / name)) for name in ("trusted", "benign", "marker")}
    request = Request(
        suite=SUITE, candidate=folders["benign"], candidate_adapter=None, trusted=folders["trusted"],
        out=tmp_path / "run", limit=20, tool_format="hermes", top_k=5, allow_template=False, command="",
    )  # fmt: skip
    go_on(request)
    return request


def flip_last_byte(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))


def tools_template(folder: Path) -> None:
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("{{ messages }}")


CHANGES: dict[str, Callable[[Path], object]] = {
    "one bit of a weight": lambda folder: flip_last_byte(folder / "model.safetensors"),
    "another shard": lambda folder: shutil.copy(folder / "model.safetensors", folder / "more.safetensors"),
    "generation settings": lambda folder: (folder / "generation_config.json").write_bytes(b'{"eos_token_id": 0}'),
}


@pytest.mark.parametrize("side", ["candidate", "trusted"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_model_is_neither_resumed_nor_searched(request_: Request, change: str, side: str) -> None:
    CHANGES[change](getattr(request_, side))
    with pytest.raises(IntegrityError, match=rf"sides\.{side}\.digest"):
        collect(request_, on_stage=stop_at_engines, on_progress=lambda _: None)
    with pytest.raises(IntegrityError, match=rf"{side}\.digest: .* in the run, .* now"):
        asyncio.run(open_again(RunFolder(request_.out)))


def test_an_added_template_is_noticed_like_a_changed_one(request_: Request) -> None:
    for folder in (request_.candidate, request_.trusted):
        tools_template(folder)
    with pytest.raises(IntegrityError, match=r"sides\.candidate\.digest"):
        collect(request_, on_stage=stop_at_engines, on_progress=lambda _: None)


def test_a_changed_note_beside_the_model_is_no_other_model(request_: Request) -> None:
    (request_.candidate / "card.json").write_text("{}")
    go_on(request_)


def test_a_changed_adapter_is_neither_resumed_nor_searched(request_: Request, tmp_path: Path) -> None:
    request = replace(
        request_, candidate=request_.trusted, candidate_adapter=tmp_path / "marker", out=tmp_path / "lora"
    )
    go_on(request)
    flip_last_byte(tmp_path / "marker" / "adapter_model.safetensors")
    with pytest.raises(IntegrityError, match=r"sides\.candidate\.adapter_digest"):
        collect(request, on_stage=stop_at_engines, on_progress=lambda _: None)
    with pytest.raises(IntegrityError, match=r"candidate\.adapter_digest"):
        asyncio.run(open_again(RunFolder(request.out)))
