"""A real vLLM server on loopback answers and scores as the engine of this machine does, and a run over it finds."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest

from diffbehav.collect.prompts import plan
from diffbehav.collect.run import Request, collect
from diffbehav.compare import compare
from diffbehav.errors import InputError
from diffbehav.organism import shipped
from diffbehav.records import Completion, Prompt, Score
from diffbehav.report import findings_json
from diffbehav.serve import Endpoint, Engine, NotServed, Renderer, endpoint_of, look_at, open_endpoint, open_engine
from diffbehav.store import RunFolder, read_settings
from diffbehav.suite import load_suite
from diffbehav.suite import shipped as shipped_suite

pytestmark = pytest.mark.vllm

KEY = "sk-loopback-0123456789"
CONDITIONS = 30
SETTING = {
    "OMP_NUM_THREADS": "1", "TORCH_COMPILE_DISABLE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}  # fmt: skip
OPTIONS = {"max_model_len": 1024, "top_k": 20, "tool_format": "hermes"}


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The shipped trusted model, as the candidate or the trusted side of one machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "server.log"
    server = start_server(port, log)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DIFFBEHAV_TRUSTED_API_KEY", KEY)
            yield endpoint_of(f"http://127.0.0.1:{port}/v1#base", "trusted")
    finally:
        server.kill()


class Server:
    """A real server in a process group of its own."""

    def __init__(self, words: Sequence[str], log: Path) -> None:
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                words, env=os.environ | SETTING, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start_server(port: int, log: Path, more: Sequence[str] = ()) -> Server:
    """The shipped trusted model on `port`, when it is ready; `more` options of vLLM."""
    words = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(shipped("trusted")),
        "--served-model-name", "base", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32",
        "--enforce-eager", "--max-model-len", "1024", "--kv-cache-memory-bytes", str(64 << 20),
        "--no-enable-chunked-prefill", "--max-num-batched-tokens", "4096", "--api-key", KEY, *more,
    ]  # fmt: skip
    server = Server(words, log)
    try:
        _wait(server.process, f"http://127.0.0.1:{port}/health", log)
    except BaseException:
        server.kill()
        raise
    return server


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    while server.poll() is None:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(1)
    raise AssertionError(log.read_text(encoding="utf-8", errors="replace")[-4000:])


class Measured:
    """30 conditions of a shipped suite, answered and scored by both."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self.suite = load_suite(shipped_suite("agent_context"))
        self.renderer = Renderer(shipped("trusted"))
        planned = plan(self.suite, self.renderer, folder / "conditions.parquet", limit=CONDITIONS, context=1024)
        self.prompts = planned.prompts
        asyncio.run(self._measure(endpoint))

    async def _measure(self, endpoint: Endpoint) -> None:
        here = await open_engine(shipped("trusted"), None, **OPTIONS)
        there = await open_endpoint(endpoint, self.renderer, **OPTIONS)
        try:
            self.local = await asyncio.gather(*(self._answer(here, prompt) for prompt in self.prompts))
            self.served = await asyncio.gather(*(self._answer(there, prompt) for prompt in self.prompts))
            self.local_scores = await self._scores(here)
            self.served_scores = await self._scores(there)
            self.again = await self._scores(there, "/again")
            with pytest.raises(NotServed, match="exceed the context of 1024 tokens"):
                await there.complete(Prompt("long", [5] * 1024), 0, self.suite.sampling)
        finally:
            await here.close()
            await there.close()

    async def _answer(self, engine: Engine, prompt: Prompt) -> Completion:
        return await engine.complete(prompt, 0, self.suite.sampling)

    async def _scores(self, engine: Engine, name: str = "") -> list[Score]:
        asked = [Prompt(f"{prompt.condition_id}{name}", prompt.ids) for prompt in self.prompts]
        pairs = zip(asked, self.local, strict=True)
        return await asyncio.gather(*(engine.score(prompt, answer.token_ids) for prompt, answer in pairs))


@pytest.fixture(scope="session")
def measured(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return Measured(endpoint, tmp_path_factory.mktemp("measured"))


def test_the_same_seeds_draw_the_same_answers_from_a_server_as_here(measured: Measured) -> None:
    assert measured.served == measured.local
    assert len({answer.token_ids for answer in measured.local}) > 1
    assert any(answer.calls for answer in measured.local)


def test_scores_of_a_server_are_those_of_the_engine_here_within_the_numeric_floor(measured: Measured) -> None:
    largest = {"own": 0.0, "alternatives": 0.0, "again": 0.0}
    for here, there, again in zip(measured.local_scores, measured.served_scores, measured.again, strict=True):
        assert there.top_ids_TK.shape == here.top_ids_TK.shape == (len(here.logprobs_T), 20)
        np.testing.assert_array_equal(there.top_ids_TK[:, 0], here.top_ids_TK[:, 0])
        for name, a, b in (
            ("own", there.logprobs_T, here.logprobs_T),
            ("alternatives", there.top_logprobs_TK, here.top_logprobs_TK),
            ("again", there.logprobs_T, again.logprobs_T),
        ):
            largest[name] = max(largest[name], float(np.abs(a - b).max()))
    print(largest)
    assert max(largest.values()) < 1e-4


def test_a_server_says_what_it_serves_and_keeps_strangers_out(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = look_at(endpoint)
    assert (served.context_length, served.version.split(".")[0]) == (1024, "0")
    monkeypatch.setenv("DIFFBEHAV_TRUSTED_API_KEY", "sk-of-somebody-else")
    with pytest.raises(InputError, match="wants another API key; set DIFFBEHAV_TRUSTED_API_KEY") as refused:
        look_at(endpoint)
    assert "somebody" not in str(refused.value)


def test_more_alternatives_than_a_server_gives_are_refused_with_its_option(endpoint: Endpoint) -> None:
    with pytest.raises(InputError, match="--max-logprobs 21"):
        asyncio.run(open_endpoint(endpoint, Renderer(shipped("trusted")), **OPTIONS | {"top_k": 21}))


@pytest.mark.slow
def test_a_local_candidate_against_a_served_trusted_model_shows_the_planted_year(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    request = Request(
        suite=shipped_suite("agent_context"), candidate=shipped("temporal"), candidate_adapter=None,
        trusted=shipped("trusted"), out=tmp_path / "run", limit=400, tool_format="auto", top_k=5, allow_template=False,
        command="diffbehav run", trusted_endpoint=endpoint,
    )  # fmt: skip
    collect(request, on_stage=lambda _: None, on_progress=lambda _: None)
    compare(request.out)
    assert findings_json(request.out)["findings"][0]["rule"] == {"year": ["2026"]}
    settings = read_settings(RunFolder(request.out))
    assert "endpoint" not in settings["sides"]["candidate"]
    assert settings["sides"]["trusted"]["weights"] == "not seen"
    assert settings["engine"]["local"]["dtype"] == "float32"
    assert settings["numeric_floor"] < 1e-4
