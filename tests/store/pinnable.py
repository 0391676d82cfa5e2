"""Finished runs of the planted suite with scripted engines, as `baseline pin` takes them."""

import asyncio
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from diffbehav.collect.blocks import BLOCK
from diffbehav.collect.feed import feed
from diffbehav.collect.prompts import plan
from diffbehav.records import digest
from diffbehav.serve import Engines
from diffbehav.store import RunFolder, Signed, write_settings
from diffbehav.suite import load_suite
from tests.collect.toy_run import SUITE, levels_by_condition
from tests.planted import ToyEngine, ToyRenderer

LIMIT = 140
"""Two blocks."""
SIGNED = Signed("Ann", "the model of the release", datetime(2026, 3, 1, 12, tzinfo=UTC))
LATER = Signed("Bob", "the next release", datetime(2026, 6, 1, 12, tzinfo=UTC))


def finished_run(path: Path, *, verdict: str = "INCONCLUSIVE", **trusted: Any) -> RunFolder:
    """A run folder with a database of a verdict and no findings; the trusted engine is made with `trusted`."""
    folder, suite = RunFolder(path), load_suite(SUITE)
    planned = plan(suite, ToyRenderer(), folder.conditions, limit=LIMIT, context=1000)
    levels = levels_by_condition(folder, suite)
    engines = Engines(ToyEngine(levels, drift=0.5), ToyEngine(levels, **trusted))
    asyncio.run(feed(folder, planned, engines, suite.sampling, on_progress=lambda _: None))
    write_settings(folder, settings_of(path, digest(trusted)))
    with duckdb.connect(str(folder.database)) as connection:
        connection.execute("CREATE TABLE run (key VARCHAR, value VARCHAR)")
        connection.execute("INSERT INTO run VALUES ('verdict', $1)", [json.dumps(verdict)])
        columns = "rank INTEGER, rule VARCHAR, fingerprint VARCHAR, status VARCHAR, severity VARCHAR"
        connection.execute(f"CREATE TABLE findings ({columns})")
    return folder


def settings_of(path: Path, model: str) -> dict[str, Any]:
    """A run.json with this trusted model."""
    suite = load_suite(SUITE)
    files = {"model.safetensors": model, "config.json": "c" * 64}
    trusted = {
        "path": str(path / "models" / "base"), "digest": digest(files), "files": files, "tokenizer": "t" * 64,
        "template": "e" * 64, "architecture": "Toy",
    }  # fmt: skip
    return {
        "run_id": path.name, "created": "2026-02-28T00:00:00+00:00", "version": "0.1.0", "suite": suite.resolved(),
        "suite_file": str(path / "suite.yaml"), "suite_digest": suite.digest, "factors": [],
        "sampling": asdict(suite.sampling), "limit": LIMIT, "top_k": 5, "block": BLOCK, "tool_format": "hermes",
        "sides": {"candidate": trusted, "trusted": trusted}, "texts": {"trusted": {"chat_template": "{{ x }}"}},
        "versions": {"vllm": "vllm 0", "platform": "machine-of-ann"}, "command": f"diffbehav run --out {path}",
        "checks": [], "numeric_floor": 0.01, "engine": {"dtype": "float32", "enforce_eager": True, "seed": 0},
        "collected": {"conditions": LIMIT},
    }  # fmt: skip
