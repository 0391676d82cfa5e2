"""`compare`: build the database of a run again."""

from pathlib import Path

import click

from diffbehav.cli.findings import print_findings
from diffbehav.cli.options import FOLDER, policy_file, quiet_option
from diffbehav.terminal import Terminal


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--policy", type=click.Path(path_type=Path), help="Judge calls by this policy from now on.")
@quiet_option
def compare(run: Path, policy: Path | None, quiet: bool) -> None:
    """Build run.duckdb of RUN again from its parts.

    Measures the distances of every condition and looks for rules. Needs no model. A policy replaces that of the run.
    """
    from diffbehav.job import compare_again

    compare_again(run, policy=policy_file(policy), terminal=Terminal(quiet=quiet))
    print_findings(run)
