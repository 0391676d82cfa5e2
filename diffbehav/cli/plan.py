"""`plan`: what a run would ask, cost and be able to see."""

import json
from pathlib import Path
from typing import Any

import click

from diffbehav import untrusted
from diffbehav.cli.options import FOLDER, MODEL, files_options, quiet_option, sides_named, suite_file
from diffbehav.terminal import Terminal


@click.command()
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--candidate", type=MODEL, help="Model folder, or address as in `run`, to measure tokens, disk and time.")
@click.option("--candidate-adapter", type=FOLDER, help="LoRA adapter folder; --candidate is its base then.")
@click.option("--trusted", type=MODEL, help="Trusted model; with --candidate or not at all.")
@files_options
@click.option("--calibrate", type=click.IntRange(16), default=64, show_default=True, help="Conditions to measure with.")
@click.option("--limit", type=click.IntRange(1), help="As that of the run.")
@click.option("--calls", type=click.IntRange(0), default=6000, show_default=True, help="Budget of the search.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@quiet_option
def plan(
    suite: Path, calibrate: int, limit: int | None, calls: int, format_: str, quiet: bool, **options: Any
) -> None:
    """What a run over SUITE would ask, cost and be able to see.

    Counts conditions, calls and coverage without any model, and says in plain lines what the design cannot see. With
    both models named it serves them, asks a few conditions, and says what tokens, disk and time a run would take.
    """
    from diffbehav.collect.plan import PlanRequest, plan_run
    from diffbehav.collect.plan_text import plan_lines

    sides = sides_named(options)
    neither = sides["candidate"] is None
    if neither != (sides["trusted"] is None) or (neither and sides["candidate_adapter"] is not None):
        raise click.UsageError("name --candidate and --trusted together, or neither to have calls and coverage alone")
    request = PlanRequest(suite_file(suite), calibrate=calibrate, limit=limit, search_calls=calls, **sides)
    found = plan_run(request, on_stage=Terminal(quiet=quiet).stage)
    if format_ == "json":
        click.echo(json.dumps(found, indent=1))
        return
    for line in plan_lines(found):
        click.echo(untrusted.terminal(line))
