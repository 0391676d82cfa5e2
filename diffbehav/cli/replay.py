"""`replay`: ask the minimal pair of a finding again."""

import sys
from pathlib import Path

import click

from diffbehav import untrusted
from diffbehav.cli.options import FOLDER, quiet_option
from diffbehav.terminal import Terminal

DIFFERS = 10


@click.command()
@click.argument("run", type=FOLDER)
@click.argument("condition", required=False)
@click.option("--finding", help="Ask the minimal pair of this finding: F001, or 1.")
@quiet_option
def replay(run: Path, condition: str | None, finding: str | None, quiet: bool) -> None:
    """Ask a stored CONDITION of RUN again, and its other half.

    Serves both models of RUN as the run did and asks both halves of the minimal pair with the same seeds: does every
    answer come back? Ends with 0 where all match and with 10 where one differs. Other hardware or another version of
    vLLM may draw other tokens from the same model.
    """
    from diffbehav.replay import replay as replayed

    if (condition is None) == (finding is None):
        raise click.UsageError("name either a CONDITION or a --finding")
    answers = replayed(run, condition=condition, finding=finding, on_stage=Terminal(quiet=quiet).stage)
    for each in answers:
        place = f"{each.place:<7}  " if each.place else ""
        said = "match" if each.difference is None else f"differs  {each.difference}"
        heading = f"{each.condition_id}  {place}{each.side:<9}  sample {each.sample}  turn {each.turn}  "
        click.echo(untrusted.terminal(heading + said))
    if any(each.difference is not None for each in answers):
        sys.exit(DIFFERS)
