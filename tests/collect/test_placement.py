"""How the models of a run are served: kept with the run, told to whoever opens engines, and held to on a resume."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diffbehav.collect.run import Request, collect, open_again
from diffbehav.errors import IntegrityError
from diffbehav.organism import shipped
from diffbehav.serve import Engines, Placement, Serving
from diffbehav.store import RunFolder, read_settings, write_settings
from tests.nightly.toy_nights import SUITE, TRUSTED, behave
from tests.nightly.toy_nights import serving as toys

CHOSEN = Placement(candidate={"max_num_seqs": 16}, trusted={"enforce_eager": True, "dtype": "float32"})


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> Request:
    folder = tmp_path_factory.mktemp("placed")
    for name in ("candidate", "trusted"):
        shutil.copytree(shipped("trusted"), folder / name)
        behave(folder / name, TRUSTED)
    (folder / "suite.yaml").write_text(SUITE, encoding="utf-8")
    return Request(
        suite=folder / "suite.yaml", candidate=folder / "candidate", candidate_adapter=None,
        trusted=folder / "trusted", out=folder / "run", limit=16, tool_format="hermes", top_k=5, allow_template=False,
        command="", placement=CHOSEN,
    )  # fmt: skip


def told(asked: list[Any]) -> Serving:
    """Toy engines; what is said of the placement is kept in `asked`."""
    inner = toys()

    async def both(*folders: Path, placement: Placement, **options: Any) -> Engines:
        asked.append(placement)
        return await inner.engines(*folders, **options)

    return Serving(inner.engine, both)


def run(request: Request, asked: list[Any]) -> None:
    collect(request, on_stage=lambda _: None, on_progress=lambda _: None, serving=told(asked))


def test_a_run_is_served_as_was_chosen_and_so_again_by_its_search(request_: Request) -> None:
    asked: list[Placement] = []
    run(request_, asked)
    settings = read_settings(RunFolder(request_.out))
    assert settings["sides"]["trusted"]["engine"] == CHOSEN.trusted
    assert "engine" not in settings["sides"]["candidate"]
    assert settings["engine"]["candidate"] == {"max_num_seqs": 16}
    assert settings["engine"]["dtype"] == "float32"

    async def again() -> None:
        engines, _ = await open_again(RunFolder(request_.out), told(asked))
        await engines.close()

    asyncio.run(again())
    assert asked == [CHOSEN, CHOSEN]


@pytest.mark.parametrize(
    ("key", "then", "named"),
    [
        ("tool_format", "mistral", r"tool_format: 'mistral' in the folder, 'hermes' now"),
        ("versions", {"vllm": "vllm 0.1"}, r"versions\.vllm: 'vllm 0\.1' in the folder, '.*' now"),
        ("versions", {"torch": "1.0"}, r"versions\.torch: '1\.0' in the folder, '.*' now"),
        ("engine", {"dtype": "bfloat16"}, r"engine\.dtype: 'bfloat16' in the folder, 'float32' now"),
        ("engine", {"trusted": {"quantization": "fp8"}}, r"engine\.trusted: \{'quantization': 'fp8'\} in the folder"),
        ("versions", {"platform": "another kernel", "polars": "0"}, None),
        ("engine", {"max_num_seqs": 4, "max_model_len": 4, "candidate": {"kv_cache_memory_bytes": 1}}, None),
    ],
)
def test_a_run_is_not_continued_where_its_answers_came_about_in_another_way(
    request_: Request, tmp_path: Path, key: str, then: Any, named: str | None
) -> None:
    asked = replace(request_, out=Path(shutil.copytree(request_.out, tmp_path / "run")))
    settings = read_settings(RunFolder(asked.out))
    changed = settings[key] | then if isinstance(then, dict) else then
    write_settings(RunFolder(asked.out), settings | {key: changed})
    if named is None:
        run(asked, [])
        return
    with pytest.raises(IntegrityError, match=named):
        run(asked, [])
    assert read_settings(RunFolder(asked.out))[key] == changed


def test_a_run_goes_on_with_another_batch_but_not_in_another_dtype(request_: Request) -> None:
    asked: list[Placement] = []
    run(request_, asked)
    wider = replace(CHOSEN, candidate={"max_num_seqs": 32})
    run(replace(request_, placement=wider), asked)
    assert Placement(**read_settings(RunFolder(request_.out))["placement"]) == wider
    short = replace(CHOSEN, trusted={"enforce_eager": True, "dtype": "bfloat16"})
    with pytest.raises(IntegrityError, match=r"sides\.trusted\.engine\.dtype: 'float32' in the folder, 'bfloat16' now"):
        run(replace(request_, placement=short), asked)


@pytest.mark.parametrize(
    "strange",
    [
        {"kind": "together", "candidate": {"trust_remote_code": True}, "trusted": {}},
        {"kind": "together", "candidate": {}, "trusted": {"worker_extension_cls": "os.system"}},
        {"kind": "elsewhere", "candidate": {}, "trusted": {}},
        {"machine": "mine"},
        None,
    ],
)
def test_a_run_json_with_a_placement_that_no_run_writes_opens_nothing(
    request_: Request, tmp_path: Path, strange: Any
) -> None:
    asked: list[Placement] = []
    run(replace(request_, out=tmp_path / "run"), asked)
    folder = RunFolder(tmp_path / "run")
    write_settings(folder, read_settings(folder) | {"placement": strange})
    asked.clear()
    with pytest.raises(IntegrityError, match="placement"):
        asyncio.run(open_again(folder, told(asked)))
    assert asked == []
