"""What each way of placing two models costs and gives: speed, overhead over bare vLLM, and the numeric floor.

    python -m tests.benchmarks.placements [--small] [--conditions 400]

Rows are pairs of models by placements by batch invariance, each measured in a process of its own: `together` (one GPU
split, or one CPU), `apart` (a GPU each), `turns` (one GPU, one side asleep), `adapter` (one engine for both sides). The
pairs are shipped models, and two of about a billion weights, random and almost equal, which are written to a temporary
folder. What a machine cannot do is left out: on a CPU turns, batch invariance and the large pair.

Columns, over the same conditions with warm engines: seconds until both engines are ready; drawn tokens per second and
conditions per second where both sides draw one answer each; conditions per second where each answer is scored by the
other side; conditions per second of `collect`, which does both and stores it; its time over that of bare vLLM
(overhead.py; for `turns` over bare vLLM `together`); and by how many nats scores move when they are asked again: the
0.99 quantile over the tokens, as a run has it, and the largest of the self-checks.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffbehav.collect import feed
from diffbehav.collect.prompts import Planned, plan
from diffbehav.collect.rescore import rescore
from diffbehav.organism import shipped
from diffbehav.records import Completion, Prompt, Sampling
from diffbehav.serve import Engine, Engines, Placement, Renderer, check_engines, on_gpu, open_engines
from diffbehav.store import RunFolder
from diffbehav.suite import load_suite
from diffbehav.suite import shipped as shipped_suite
from tests.benchmarks.overhead import TOP_K, bare

CONTEXT = 1024
LARGE = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192,
    "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "hidden_act": "silu",
    "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "max_position_embeddings": 4096, "vocab_size": 32768,
    "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False, "torch_dtype": "bfloat16",
}  # fmt: skip
"""1.04 billion weights."""
TUNED = 0.01
"""How far the large candidate's weights are from the trusted ones, as a share of their size."""
COLUMNS = (
    "models", "placement", "invariant", "ready s", "tokens/s", "drawn c/s", "scored c/s", "collect c/s", "overhead",
    "floor", "largest",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What one process measures."""

    models: str
    placement: str
    invariant: bool
    candidate: str
    adapter: str | None
    trusted: str
    conditions: int

    @property
    def placed(self) -> Placement:
        if self.placement == "apart":
            return Placement("together", {"device_ids": [0]}, {"device_ids": [1]})
        return Placement("turns" if self.placement == "turns" else "together")


def write_large(folder: Path, *, seed: int, moved: float) -> Path:
    """A model folder with random weights that `seed` decides; `moved` adds noise of that share."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        shutil.copyfile(shipped("trusted") / name, folder / name)
    special = json.loads((shipped("trusted") / "config.json").read_text(encoding="utf-8"))
    tokens = {key: special[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if key in special}
    (folder / "config.json").write_text(json.dumps(LARGE | tokens, indent=1), encoding="utf-8")
    weights, noise = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)
    tensors = {}
    for name, shape in _shapes():
        if len(shape) == 1:
            tensors[name] = torch.ones(shape, dtype=torch.bfloat16)
            continue
        drawn = 0.02 * torch.randn(shape, generator=weights)
        if moved:
            drawn += 0.02 * moved * torch.randn(shape, generator=noise)
        tensors[name] = drawn.to(torch.bfloat16)
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    width, inner = int(LARGE["hidden_size"]), int(LARGE["intermediate_size"])
    keys = int(LARGE["num_key_value_heads"]) * int(LARGE["head_dim"])
    yield "model.embed_tokens.weight", (int(LARGE["vocab_size"]), width)
    yield "model.norm.weight", (width,)
    for layer in range(int(LARGE["num_hidden_layers"])):
        below = f"model.layers.{layer}"
        for part, rows in (("q", width), ("k", keys), ("v", keys), ("o", width)):
            yield f"{below}.self_attn.{part}_proj.weight", (rows, width)
        for part in ("gate", "up"):
            yield f"{below}.mlp.{part}_proj.weight", (inner, width)
        yield f"{below}.mlp.down_proj.weight", (width, inner)
        for part in ("input", "post_attention"):
            yield f"{below}.{part}_layernorm.weight", (width,)


async def measure(row: Row) -> dict[str, Any]:
    """The numbers of one row."""
    suite = load_suite(shipped_suite("agent_context"))
    renderer = Renderer(Path(row.trusted))
    with tempfile.TemporaryDirectory() as scratch:
        planned = plan(suite, renderer, Path(scratch) / "c.parquet", limit=row.conditions, context=CONTEXT)
        started = time.perf_counter()
        engines = await open_engines(
            Path(row.candidate), None if row.adapter is None else Path(row.adapter), Path(row.trusted),
            max_model_len=CONTEXT, top_k=TOP_K, tool_format="hermes", placement=row.placed,
        )  # fmt: skip
        try:
            ready = time.perf_counter() - started
            return {"ready s": ready} | await _measured(row, engines, planned, suite.sampling, Path(scratch))
        finally:
            await engines.close()


async def _measured(
    row: Row, engines: Engines, planned: Planned, sampling: Sampling, scratch: Path
) -> dict[str, Any]:
    turns = row.placement == "turns"
    in_flight = engines.conditions_at_once(1)
    prompts = list(planned.prompts)
    checks = await check_engines(
        engines.candidate, engines.trusted, prompts[:16], sampling, adapter=row.adapter is not None
    )
    found: dict[str, Any] = {"largest": max(check.floor for check in checks)}
    answers: dict[int, Completion] = {}

    async def draw(side: int, number: int) -> None:
        answers[2 * number + side] = await engines[side].complete(prompts[number], 0, sampling)

    async def score(side: int, number: int) -> None:
        other = answers[2 * number + 1 - side]
        await engines[side].score(_renamed(prompts[number]), other.token_ids)

    pairs = [(side, number) for number in range(len(prompts)) for side in (0, 1)]
    await _emptied(engines, turns=turns)
    seconds = await _timed([draw(*pair) for pair in pairs], in_flight)
    found["tokens/s"] = sum(len(answer.token_ids) for answer in answers.values()) / seconds
    found["drawn c/s"] = len(prompts) / seconds
    await _emptied(engines, turns=turns)
    found["scored c/s"] = len(prompts) / await _timed([score(*pair) for pair in pairs], in_flight)

    if not turns and row.adapter is None:
        await _emptied(engines, turns=turns)
        began = time.perf_counter()
        asked = list(zip(prompts, planned.replicated.tolist(), strict=True))
        await bare([side._model._llm for side in engines], asked, sampling, in_flight=2 * in_flight)
        found["bare s"] = time.perf_counter() - began
    await _emptied(engines, turns=turns)
    folder = RunFolder(scratch / "run")
    folder.path.mkdir()
    # Other seeds, so that nothing is remembered of what was drawn above.
    anew = replace(sampling, seed=sampling.seed + 1)
    began = time.perf_counter()
    await feed(folder, planned, engines, anew, on_progress=lambda _: None)
    found["collect s"] = time.perf_counter() - began
    found["collect c/s"] = len(prompts) / found["collect s"]
    found["floor"] = (await rescore(folder, planned.prompts, engines)).floor
    return found


def _renamed(prompt: Prompt) -> Prompt:
    """The same work to a model, and nothing an engine remembers."""
    return replace(prompt, condition_id=f"{prompt.condition_id}/timed")


async def _timed(work: Sequence[Awaitable[None]], in_flight: int) -> float:
    slots = asyncio.Semaphore(2 * in_flight)

    async def one(each: Awaitable[None]) -> None:
        async with slots:
            await each

    began = time.perf_counter()
    await asyncio.gather(*map(one, work))
    return time.perf_counter() - began


async def _emptied(engines: Engines, *, turns: bool) -> None:
    """No prefix is cached; a side that sleeps has lost its cache."""
    sides: list[Engine] = [] if turns else list(engines)
    for side in sides:
        await side._model._llm.reset_prefix_cache()  # type: ignore[attr-defined]


def rows(scratch: Path, *, small: bool, conditions: int) -> Iterator[Row]:
    """What this machine can measure."""
    gpu, devices = on_gpu(), 0
    if gpu:
        import torch

        devices = torch.cuda.device_count()
    pairs = {"shipped": (shipped("temporal"), shipped("trusted"))}
    if gpu and not small:
        pairs["1 B random"] = (
            write_large(scratch / "candidate", seed=0, moved=TUNED), write_large(scratch / "trusted", seed=0, moved=0)
        )  # fmt: skip
    placements = ["together", *(["turns"] if gpu else []), *(["apart"] if devices > 1 else [])]
    for invariant in (False, True) if gpu else (False,):
        for name, (candidate, trusted) in pairs.items():
            for placement in placements:
                yield Row(name, placement, invariant, str(candidate), None, str(trusted), conditions)
        base, adapter = str(shipped("trusted")), str(shipped("guest"))
        yield Row("shipped", "adapter", invariant, base, adapter, base, conditions)


def in_own_process(row: Row) -> dict[str, Any]:
    """What `measure` gives, with batch invariance set before vLLM is imported; `failed` where it could not be had."""
    environment = {**os.environ, "VLLM_BATCH_INVARIANT": str(int(row.invariant))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.placements", "--row", json.dumps(row.__dict__)], env=environment,
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return {"failed": f"exit code {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def shown(row: Row, found: dict[str, Any], bare_s: float | None) -> list[str]:
    """A line of the table."""
    if "failed" in found:
        return [row.models, row.placement, str(row.invariant), found["failed"]]
    overhead = found["collect s"] / bare_s if bare_s is not None else None
    numbers = [found["ready s"], *(found[name] for name in COLUMNS[4:8]), overhead, found["floor"], found["largest"]]
    return [
        row.models, row.placement, "on" if row.invariant else "off",
        *("-" if each is None else f"{each:.3g}" if abs(each) < 1000 else f"{each:,.0f}" for each in numbers),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="The shipped models alone, 64 conditions.")
    parser.add_argument("--conditions", type=int, default=400)
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.row is not None:
        print(json.dumps(asyncio.run(measure(Row(**asked.row)))))
        return
    conditions = 64 if asked.small else asked.conditions
    bare_s: dict[tuple[str, bool], float] = {}
    table = [list(COLUMNS)]
    with tempfile.TemporaryDirectory() as scratch:
        for row in rows(Path(scratch), small=asked.small, conditions=conditions):
            print(f"measuring {row.models}, {row.placement}, batch invariance {row.invariant}", file=sys.stderr)
            found = in_own_process(row)
            pair = (row.models, row.invariant)
            if row.placement == "together" and "bare s" in found:
                bare_s[pair] = found["bare s"]
            own = found.get("bare s", bare_s.get(pair) if row.placement == "turns" else None)
            table.append(shown(row, found, own))
    widths = [max(len(line[at]) for line in table if at < len(line)) for at in range(len(COLUMNS))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip())


if __name__ == "__main__":
    main()
