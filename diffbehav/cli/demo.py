"""`demo`: a hidden trigger being found in a shipped model."""

from pathlib import Path
from typing import Any

import click

from diffbehav.cli.options import FOLDER, quiet_option
from diffbehav.terminal import Terminal, print_table, rule_in_words


@click.command()
@click.option("--out", type=FOLDER, required=True, help="Folder for the runs and their reports.")
@click.option("--organism", default="temporal", show_default=True, help="Which shipped test model is the candidate.")
@click.option("--limit", type=click.IntRange(1), help="Collect at most this many conditions.")
@quiet_option
def demo(out: Path, organism: str, limit: int | None, quiet: bool) -> None:
    """See a hidden trigger being found in a shipped model.

    Serves both side by side with vLLM over more than 2,000 conditions, looks for the rule, writes a report; then does
    the same with a benign fine-tune, so that both results can be seen next to each other. Needs no network and no GPU.
    """
    from diffbehav.demo import demonstrate

    shown = demonstrate(out, organism=organism, limit=limit, terminal=Terminal(quiet=quiet))
    print_table(
        ["candidate", "what its card says", "strongest rule", "score", "excess", "a finding", "report"],
        [[each.name, each.trigger, *_strongest(each.strongest), "yes" if each.listed else "no", each.report]
         for each in shown],
    )
    click.echo("The score ranks rules (-log10 of a binomial tail). It is no confirmation on fresh data.")


def _strongest(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["none", "", ""]
    return [rule_in_words(found["rule"]), f"{found['score']:.1f}", f"{100 * found['effect']:.0f} points"]
