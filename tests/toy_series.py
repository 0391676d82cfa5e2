"""A training series of scripted engines, compared as `diffbehav checkpoints` does it with served models."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from diffbehav.checkpoint_series import Steps, examine
from diffbehav.checkpoints import Checkpoint
from diffbehav.collect import feed
from diffbehav.collect.blocks import BLOCK
from diffbehav.collect.prompts import plan
from diffbehav.collect.run import described_factors
from diffbehav.collect.stored import with_trusted_answers
from diffbehav.compare import compare
from diffbehav.records import Completion, Prompt, Sampling
from diffbehav.serve import Engines
from diffbehav.store import VOCABULARY, RunFolder, write_parquet, write_settings
from diffbehav.suite import load_suite
from tests.collect.toy_run import SUITE, levels_by_condition
from tests.planted import Levels, ToyEngine, ToyRenderer
from tests.toy_search import search_toys

SETTINGS = {"suite": "planted@1.0.0", "suite_digest": "s", "trusted": "t" * 64, "delta": 0.05, "level": 0.05}
TRUSTED = {"ending": 5.0}
"""Readier to end its turn than the plain engine, so that answers are short."""


@dataclass
class Counting(ToyEngine):
    """Notes what it is asked to draw."""

    drawn: list[str] = field(default_factory=list)

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        self.drawn.append(f"{prompt.condition_id}/{sample}")
        return await super().complete(prompt, sample, sampling)


@dataclass
class ToySeries:
    """Checkpoints by name, each with the arguments of its engine, and what was asked of whom."""

    out: Path
    candidates: Mapping[str, dict[str, Any]]
    settings: Mapping[str, Any] = field(default_factory=lambda: SETTINGS)
    digests: Mapping[str, str] = field(default_factory=dict)
    """Of checkpoints whose files are not their own."""
    calls: int = 1500
    said: list[str] = field(default_factory=list)
    searches: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """Run and sentinel runs of every search."""
    trusted_drawn: dict[str, int] = field(default_factory=dict)
    """Run -> answers that the trusted engine drew for its screen."""
    collected: list[str] = field(default_factory=list)

    def compared(self) -> dict[str, Any]:
        """The content of checkpoints.json."""
        first: dict[str, str] = {}
        series = []
        for name in self.candidates:
            digest = self.digests.get(name, name)
            place = Path(name)
            series.append(Checkpoint(name, place, place, None, digest, first.get(digest)))
            first.setdefault(digest, name)
        steps = Steps(self.collect, self.search, compare)
        return examine(series, self.out, settings=self.settings, steps=steps, on_stage=self.said.append)

    def collect(self, each: Checkpoint, run: Path, answers: Path | None) -> None:
        folder, suite = RunFolder(run), load_suite(SUITE)
        run.mkdir(parents=True, exist_ok=True)
        planned = plan(suite, ToyRenderer(), folder.conditions, limit=None, context=1000)
        levels = levels_by_condition(folder, suite)
        ids, texts = zip(*ToyRenderer().vocabulary(), strict=True)
        write_parquet(folder.vocabulary, {"token_id": ids, "text": texts}, VOCABULARY)
        trusted_side = {"path": "base", "digest": "t" * 64}
        sides = {"candidate": {"path": each.name, "digest": each.digest}, "trusted": trusted_side}
        settings = {
            "run_id": run.name, "created": "2026-01-01T00:00:00+00:00", "version": "0", "sides": sides,
            "suite": suite.resolved(), "suite_digest": suite.digest, "factors": described_factors(suite),
            "block": BLOCK, "numeric_floor": 0.0, "command": "diffbehav checkpoints", "checks": [], "versions": {},
            "sampling": asdict(suite.sampling), "limit": None, "tool_format": "hermes", "top_k": 5,
        }  # fmt: skip
        write_settings(folder, settings)
        trusted = Counting(levels, **TRUSTED)
        engines = Engines(ToyEngine(levels, **self.candidates[each.name]), trusted)
        if answers is not None:
            engines = with_trusted_answers(engines, answers, folder, settings)
        asyncio.run(feed(folder, planned, engines, suite.sampling, on_progress=lambda _: None))
        self.trusted_drawn[run.name] = len(trusted.drawn)
        self.collected.append(run.name)
        write_settings(folder, settings | {"collected": {"conditions": len(planned.prompts)}})
        compare(run)

    def search(self, run: Path, sentinels: Sequence[Path]) -> None:
        def engines(levels: Mapping[str, Levels]) -> Engines:
            return Engines(ToyEngine(levels, **self.candidates[run.name]), ToyEngine(levels, **TRUSTED))

        search_toys(run, engines, calls=self.calls, sentinels=sentinels)
        self.searches.append((run.name, tuple(other.name for other in sentinels)))
