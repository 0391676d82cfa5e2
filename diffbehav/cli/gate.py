"""`gate`: a run against what a gate file asks for, as an exit code."""

import sys
from pathlib import Path

import click

from diffbehav import untrusted
from diffbehav.cli.options import FOLDER, TEXT_FILE


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--gate", "policy", type=TEXT_FILE, required=True, help="Gate file: which findings fail, what is needed.")
@click.option("--junit", type=TEXT_FILE, help="Also write the checks as JUnit XML.")
@click.option("--sarif", type=TEXT_FILE, help="Also write the findings as SARIF.")
def gate(run: Path, policy: Path, junit: Path | None, sarif: Path | None) -> None:
    """Hold RUN against a gate file and say why it passes or not.

    Ends with 0 where nothing is beyond the gate file, 10 where a finding is, 11 where the run cannot say, 21 where the
    run is invalid.
    """
    from diffbehav.report import gate as gated
    from diffbehav.report import write_gated
    from diffbehav.suite import load_gate

    found = gated(run, load_gate(policy))
    write_gated(found, junit_file=junit, sarif_file=sarif)
    click.echo(untrusted.terminal(f"{found.result}  {run}"))
    for check in found.checks:
        name = check.name[:16]
        click.echo(untrusted.terminal(f"{check.result:<12}  {name:<16}  {check.reason}"))
    sys.exit(found.exit_code)
