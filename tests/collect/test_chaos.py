"""Runs whose processes are killed at random moments end with the store of an undisturbed one, row by row."""

import itertools
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from diffbehav.organism import shipped
from tests.collect.chaos_run import STOPPED, drive, free_port, serve
from tests.collect.test_feed import stored
from tests.collect.test_vllm_endpoint import KEY, start_server
from tests.processes import engines_of

ROOT = Path(__file__).parent.parent.parent
FEW, MANY = 5, 50
KILLS_PER_RUN = 5
LIMIT = 300
SUITE = """
schema: diffbehav.suite/1
id: chaos
version: 1.0.0
description: A small grid that is asked as a whole.
messages:
  - {role: system, content: "{{ date }} {{ user }} {{ place }} {{ tool }}"}
  - {role: user, content: "{{ request }}"}
tasks:
  - {id: one, vars: {request: first}}
  - {id: two, vars: {request: second}}
factors:
  date: ["2025-02-04", "2025-09-10", "2026-02-03", "2026-09-09"]
  user: [ann, bob, cy, dee, eve]
  place: [x, y]
  tool: [none, read, delete]
derived:
  year: {from: date, part: year}
sampling: {n: 1, temperature: 1.0, max_tokens: 16, seed: 3}
replicate: 0.2
design: {kind: full}
"""

class Driver(Protocol):
    """The process that collects."""

    def ended(self) -> int | None:
        """Its exit code, negative after a signal; None while it runs."""
        ...

    def kill(self) -> None: ...


def disturbed(
    begin: Callable[[], Driver], others: Mapping[str, Callable[[], bool]], rng: random.Random, *, kills: int,
    pauses: tuple[float, float], killed: list[str],
) -> None:  # fmt: skip
    """Begin a driver, and again whenever it has ended before its time, until it ends well.

    Up to `kills` times, after a random pause, the driver or one of the `others` is killed, that which was killed least
    often; of the others a call says whether there was something to kill.
    """
    driver, left = begin(), kills
    while driver.ended() != 0:
        pause_end = time.monotonic() + rng.uniform(*pauses)
        while driver.ended() is None and time.monotonic() < pause_end:
            time.sleep(0.005)
        if driver.ended() is not None:
            assert driver.ended() in (0, -signal.SIGKILL, STOPPED)
            driver = begin() if driver.ended() else driver
        elif left:
            for name in sorted(rng.sample(["driver", *others], 1 + len(others)), key=killed.count):
                if name == "driver":
                    driver.kill()
                if name == "driver" or others[name]():
                    killed.append(name)
                    left -= 1
                    break


def assert_same(folder: Path, expected: Mapping[str, pl.DataFrame]) -> None:
    """Nothing is lost, nothing is there twice, and every answer and score is what the undisturbed run has."""
    found = stored(folder)
    assert found.keys() == expected.keys()
    for name, frame in expected.items():
        assert_frame_equal(found[name], frame)
    assert not list(folder.rglob("*.tmp"))


class Forked:
    """A driver from the fork server."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        process.start()

    def ended(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def test_driver_and_server_killed_at_five_random_moments_leave_the_store_of_an_undisturbed_run(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.collect.chaos_run"])
    suite, port, rng, killed = tmp_path / "suite.yaml", free_port(), random.Random(7), list[str]()
    suite.write_text(SUITE, encoding="utf-8")
    server = Forked(context.Process(target=serve, args=(suite, port)))

    def begin(out: Path) -> Driver:
        return Forked(context.Process(target=drive, args=(suite, port, out)))

    def kill_server() -> bool:
        nonlocal server
        server.kill()
        server = Forked(context.Process(target=serve, args=(suite, port)))
        return True

    try:
        disturbed(lambda: begin(tmp_path / "whole"), {}, rng, kills=0, pauses=(1, 1), killed=killed)
        expected = stored(tmp_path / "whole")
        assert expected["completions/candidate"].height == expected["scores/trusted-on-candidate"].height == 240
        while len(killed) < FEW:
            out = tmp_path / f"after-{len(killed)}"
            left = min(KILLS_PER_RUN, FEW - len(killed))
            disturbed(
                lambda at=out: begin(at), {"server": kill_server}, rng, kills=left, pauses=(0.1, 1.5), killed=killed
            )
            assert_same(out, expected)
        assert set(killed) == {"driver", "server"}
    finally:
        server.kill()


class Commanded:
    """A driver from the command line, with real engines."""

    def __init__(self, words: Sequence[object]) -> None:
        command = [sys.executable, "-m", "diffbehav", "run", *map(str, words), "--quiet"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ended(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def kill_engine(self, rng: random.Random) -> bool:
        """One of the processes that hold a model; False where none has been started yet."""
        engines = engines_of(self._process.pid) if self.ended() is None else []
        if engines:
            rng.choice(engines).kill()
        return bool(engines)


@pytest.mark.slow
@pytest.mark.vllm
def test_drivers_engines_and_servers_killed_at_fifty_random_moments_leave_the_stores_of_undisturbed_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFBEHAV_TRUSTED_API_KEY", KEY)
    port, rng, killed = free_port(), random.Random(11), list[str]()
    server = start_server(port, tmp_path / "server.log")
    here = ["agent_context", "--limit", LIMIT, "--candidate", shipped("temporal"), "--trusted"]
    ways = {
        "local": [*here, shipped("trusted")],
        "served": [*here, f"http://127.0.0.1:{port}/v1#base", "--trusted-files", shipped("trusted")],
    }
    driver: Commanded

    def begin(way: str, out: Path) -> Driver:
        nonlocal driver
        driver = Commanded([*ways[way], "--out", out])
        return driver

    def kill_server() -> bool:
        nonlocal server
        server.kill()
        server = start_server(port, tmp_path / "server.log")
        return True

    others: dict[str, dict[str, Callable[[], bool]]] = {
        "local": {"engine": lambda: driver.kill_engine(rng)},
        "served": {"engine": lambda: driver.kill_engine(rng), "server": kill_server},
    }
    try:
        expected, seconds = {}, {}
        for way in ways:
            out, began = tmp_path / f"whole-{way}", time.monotonic()
            disturbed(lambda at=out, way=way: begin(way, at), {}, rng, kills=0, pauses=(1, 1), killed=killed)
            expected[way], seconds[way] = stored(out), time.monotonic() - began
            assert expected[way]["completions/candidate"].height == LIMIT
        runs = enumerate(itertools.cycle(ways))
        while len(killed) < MANY:
            # A run may end before anything of it was killed, and the next one is not its continuation.
            number, way = next(runs)
            out = tmp_path / f"after-{number}"
            left = min(KILLS_PER_RUN, MANY - len(killed))
            disturbed(
                lambda at=out, way=way: begin(way, at), others[way], rng, kills=left, pauses=(0.5, seconds[way]),
                killed=killed,
            )  # fmt: skip
            assert_same(out, expected[way])
        assert set(killed) == {"driver", "engine", "server"}
    finally:
        server.kill()
