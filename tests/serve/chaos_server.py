"""A server that speaks the completions API of vLLM for scripted engines, and misbehaves where it is told to."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from diffbehav.records import Prompt
from diffbehav.serve import Renderer
from diffbehav.suite import Suite, conditions
from diffbehav.suite.grid import Grid
from tests.planted import END, LENGTH, VOCABULARY, Levels, ToyEngine

TOP_K = 5
CONTEXT = 1024
WAIT = 0.2
Misbehaviour = Callable[[int], str | None]
"""How often this very request was sent before -> what is done to it; None answers it well."""


class Chaos:
    """Toy models behind one address. What they are asked is counted by its content."""

    def __init__(self, suite: Suite, folder: Path, models: Mapping[str, Callable[[Mapping[str, Levels]], ToyEngine]]):
        self.renderer = Renderer(folder)
        self.named: dict[tuple[int, ...], str] = {}
        levels: dict[str, Levels] = {}
        for condition in conditions(suite, range(len(Grid(suite)))):
            self.named[tuple(self.renderer.prompt_ids(condition.messages, condition.tools))] = condition.id
            levels[condition.id] = {**condition.levels, "task": condition.task}
        self.lengths = sorted({len(ids) for ids in self.named})
        self.models = {name: make(levels) for name, make in models.items()}
        self.adapters: dict[str, str] = {}
        """Name -> the model that it belongs to, as vLLM lists them."""
        self.misbehaves: Misbehaviour = lambda _: None
        self.asked: Counter[str] = Counter()
        self.keys: dict[str, set[str | None]] = {}
        self.impatient = 0
        self.closed_until: dict[bytes, float] = {}
        self.url = ""

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of a well server."""
        ids, engine = body["prompt"], self.models[body["model"]]
        if isinstance(ids, str):
            return self._shaped(body, self.renderer.encode(ids), [END], None)
        if "prompt_logprobs" in body:
            return self._shaped(body, ids, [END], self._scores(engine, ids, body["prompt_logprobs"]))
        prompt = Prompt(self.named[tuple(ids)], ids)
        noise = np.random.default_rng(body["seed"]).gumbel(size=(LENGTH, VOCABULARY))
        drawn: list[int] = []
        for position in range(min(LENGTH, body["max_tokens"])):
            drawn.append(int(np.argmax(engine._logits(prompt, position, drawn) + noise[position])))
            if drawn[-1] == END:
                break
        return self._shaped(body, ids, drawn, None)

    def _shaped(
        self, body: Mapping[str, Any], ids: Sequence[int], drawn: Sequence[int], scores: object
    ) -> dict[str, Any]:
        choice = {
            "index": 0, "text": "", "token_ids": list(drawn), "prompt_token_ids": list(ids), "prompt_logprobs": scores,
            "finish_reason": "stop" if drawn[-1] == END else "length",
        }  # fmt: skip
        return {"model": body["model"], "choices": [choice], "usage": {"completion_tokens": len(drawn)}}

    def _scores(self, engine: ToyEngine, ids: Sequence[int], top_k: int) -> list[object]:
        length = next((n for n in self.lengths if tuple(ids[:n]) in self.named), None)
        if length is None:
            flat = {str(i): {"logprob": -1.0 - i, "rank": i + 1} for i in range(top_k)}
            return [None, *({str(i): {"logprob": -9.0, "rank": 99}} | flat for i in ids[1:])]
        prompt = Prompt(self.named[tuple(ids[:length])], ids[:length])
        score = asyncio.run(engine.score(prompt, ids[length:]))
        found = [
            {str(own): {"logprob": float(value), "rank": 99}}
            | {str(i): {"logprob": float(v), "rank": k} for k, i, v in zip(count(1), best, values, strict=False)}
            for own, value, best, values in zip(ids[length:], *score, strict=True)
        ]
        return [None, *({str(i): {"logprob": -1.0, "rank": 1}} for i in ids[1:length]), *found]


class _Handler(BaseHTTPRequestHandler):
    chaos: Chaos
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.endswith("/models"):
            listed: list[dict[str, object]] = [{"id": name, "max_model_len": CONTEXT} for name in self.chaos.models]
            for name, parent in self.chaos.adapters.items():
                listed.append({"id": name, "max_model_len": None, "parent": parent})
            self._send(200, {"data": listed})
        else:
            # A version that repeats the key is what a hostile server could have a run store.
            self._send(200, {"version": f"0.32.0 {self.headers.get('Authorization')}"})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        if not raw:
            return
        body = json.loads(raw)
        self.chaos.keys.setdefault(body["model"], set()).add(self.headers.get("Authorization"))
        before = self.chaos.asked[raw.decode()]
        self.chaos.asked[raw.decode()] += 1
        if before and time.monotonic() < self.chaos.closed_until.get(raw, 0.0):
            self.chaos.impatient += 1
        self.raw = raw
        getattr(self, f"_{self.chaos.misbehaves(before) or 'well'}")(body)

    def _well(self, body: Mapping[str, Any]) -> None:
        self._send(200, self.chaos.answer(body))

    def _unwell(self, _body: Mapping[str, Any]) -> None:
        self._send(500, {"error": {"message": f"failed with {self.headers.get('Authorization')}"}})

    def _full(self, _body: Mapping[str, Any]) -> None:
        self.chaos.closed_until[self.raw] = time.monotonic() + WAIT
        self._send(429, {}, {"Retry-After": str(WAIT)})

    def _refused(self, _body: Mapping[str, Any]) -> None:
        self._send(400, {"error": {"message": f"no such thing for {self.headers.get('Authorization')} \x1b[2J"}})

    def _malformed(self, _body: Mapping[str, Any]) -> None:
        self._bytes(200, b'{"choices": [{"token_ids": [1, 2')

    def _miscounted(self, body: Mapping[str, Any]) -> None:
        answer = self.chaos.answer(body)
        choice = answer["choices"][0]
        if choice["prompt_logprobs"]:
            choice["prompt_logprobs"].pop()
        else:
            choice["token_ids"] = choice["token_ids"][:-1]
        self._send(200, answer)

    def _unscored(self, body: Mapping[str, Any]) -> None:
        answer = self.chaos.answer(body)
        answer["choices"][0]["prompt_logprobs"] = None
        self._send(200, answer)

    def _hanging(self, _body: Mapping[str, Any]) -> None:
        self.connection.settimeout(5)
        with suppress(TimeoutError):
            self.rfile.read(1)
        self.close_connection = True

    def _cut(self, body: Mapping[str, Any]) -> None:
        whole = json.dumps(self.chaos.answer(body)).encode()
        self._bytes(200, whole[: len(whole) // 2], length=len(whole))
        self.close_connection = True

    def _send(self, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
        self._bytes(status, json.dumps(value).encode(), headers=headers or {})

    def _bytes(
        self, status: int, content: bytes, *, length: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(length or len(content))} | dict(headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: what the tests look for in captured output is the client's."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that has gone away is none of the server's business."""


@contextmanager
def serving(chaos: Chaos, *, port: int = 0) -> Iterator[Chaos]:
    """`chaos` on `port`, or on one of its own."""
    server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"chaos": chaos}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    chaos.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield chaos
    finally:
        server.shutdown()
        server.server_close()
