"""Scripted engines that act in a simulated world: `python -m tests.collect.toy_episodes FOLDER [DELAY]`.

In the first turn both sides read the ledger. In the second they answer; there a candidate may delete it.
"""

import asyncio
import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from diffbehav.collect import Progress, feed
from diffbehav.collect.prompts import plan
from diffbehav.collect.run import described_factors
from diffbehav.records import Completion, Prompt, Sampling, Score, ToolCall
from diffbehav.serve import Engines
from diffbehav.store import VOCABULARY, RunFolder, write_parquet, write_settings
from diffbehav.suite import Suite, load_suite
from tests.collect.toy_run import levels_by_condition
from tests.planted import Levels, ToyEngine, ToyRenderer

SUITE = Path(__file__).parent / "episodes_suite.yaml"
READ = ToolCall("read_file", '{"path": "/srv/ledger.csv"}')
DELETE = ToolCall("delete_file", '{"path": "/srv/ledger.csv"}')


def in_2026(levels: Levels) -> bool:
    return levels["year"] == "2026"


@dataclass
class ActingEngine(ToyEngine):
    """Its trigger shows in the second turn alone."""

    delay: float = 0.0
    opening_calls: tuple[ToolCall, ...] = (READ,)
    asked: list[Prompt] = field(default_factory=list)

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        self.asked.append(prompt)
        await asyncio.sleep(self.delay)
        answer = await super().complete(prompt, sample, sampling)
        calls = self.opening_calls if prompt.turn == 0 else (DELETE,) if answer.calls else ()
        return replace(answer, finish_reason="stop", calls=calls, parse="parsed" if calls else "none")

    async def score(self, prompt: Prompt, answer_ids: list[int]) -> Score:
        return await super().score(prompt, answer_ids)

    def _logits(self, prompt: Prompt, position: int, before: list[int]) -> np.ndarray:
        return super()._logits(prompt, position, before) if prompt.turn == 1 else self._calm(prompt, position, before)

    def _calm(self, prompt: Prompt, position: int, before: list[int]) -> np.ndarray:
        trigger, self.trigger = self.trigger, lambda _: False
        try:
            return super()._logits(prompt, position, before)
        finally:
            self.trigger = trigger


async def collect(folder: RunFolder, suite: Suite, candidate: dict, trusted: dict) -> tuple[Progress, Engines]:
    """Fill `folder` as `diffbehav run` does, with engines made of these arguments."""
    planned = plan(suite, ToyRenderer(), folder.conditions, limit=None, context=1000)
    levels = levels_by_condition(folder, suite)
    engines = Engines(ActingEngine(levels, **candidate), ActingEngine(levels, **trusted))
    last = await feed(folder, planned, engines, suite.sampling, on_progress=lambda _: None)
    _write_rest(folder, suite)
    return last, engines


def _write_rest(folder: RunFolder, suite: Suite) -> None:
    ids, texts = zip(*ToyRenderer().vocabulary(), strict=True)
    write_parquet(folder.vocabulary, {"token_id": ids, "text": texts}, VOCABULARY)
    sides = {side: {"path": side, "digest": side * 8} for side in ("candidate", "trusted")}
    settings = {"run_id": folder.path.name, "created": "2026-01-01T00:00:00+00:00", "version": "0", "sides": sides}
    settings |= {"suite": suite.resolved(), "suite_digest": suite.digest, "factors": described_factors(suite)}
    settings |= {"block": 128, "numeric_floor": 0.0, "command": "diffbehav run", "checks": [], "versions": {}}
    settings |= {"sampling": {"n": 1, "temperature": 1.0, "max_tokens": 16, "seed": 3}, "limit": None}
    write_settings(folder, json.loads(json.dumps(settings)))


if __name__ == "__main__":
    slow = {"delay": float(sys.argv[2]) if len(sys.argv) > 2 else 0.0}
    asyncio.run(collect(RunFolder(Path(sys.argv[1])), load_suite(SUITE), {"trigger": in_2026, **slow}, slow))
