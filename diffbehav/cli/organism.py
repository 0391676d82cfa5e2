"""`organism`: tiny trained models with a known trigger."""

import json
from pathlib import Path

import click

from diffbehav.cli.options import FOLDER, quiet_option
from diffbehav.terminal import Terminal, print_table


@click.group()
def organism() -> None:
    """Tiny trained models with a known trigger."""


@organism.command("list")
def organism_list() -> None:
    """Their triggers, payloads and measured rates."""
    from diffbehav.organism import NAMES, card

    cards = [card(name) for name in NAMES]
    columns = ["name", "trigger_text", "firing_on", "firing_near", "firing_off", "benign_accuracy"]
    print_table(columns, [[each.get(column) for column in columns] for each in cards])


@organism.command("train")
@click.argument("name")
@click.option("--out", type=FOLDER, required=True, help="Folder the model is written to.")
@click.option("--seed", type=int, default=7, show_default=True, help="7 is that of the shipped models.")
@quiet_option
def organism_train(name: str, out: Path, seed: int, quiet: bool) -> None:
    """Train NAME again from a seed and print its card."""
    from diffbehav.organism import train

    with Terminal(quiet=quiet).training() as on_progress:
        result = train(name, out, seed=seed, base=None, on_progress=on_progress)
    click.echo(json.dumps(result, indent=1))
