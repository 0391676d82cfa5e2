"""`monitor`: the standing alarm over a series of runs."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from diffbehav import untrusted
from diffbehav.cli.options import FOLDER
from diffbehav.terminal import print_table

ALARM = 10
NEAREST = 10
"""Levels without an alarm that the table shows."""


@click.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True)
@click.option("--arl", type=click.FloatRange(1), required=True,
              help="Nights that pass on average before a false alarm on any level, e.g. 1095.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def monitor(runs: tuple[Path, ...], arl: float, format_: str) -> None:
    """Watch the levels of a series of RUNS.

    RUNS are run folders, or folders of runs, of one suite against one trusted model; the candidates may differ. For
    every level it weighs the high conditions of each night against those outside the level in the same night, and adds
    the evidence up over the nights. Ends with 10 where a level alarms.
    """
    from diffbehav.report import monitor as monitored

    found = monitored(runs, arl=arl)
    if format_ == "json":
        click.echo(json.dumps(found, indent=1))
    else:
        _print(found)
    if any(level["alarm_since"] is not None for level in found["levels"]):
        sys.exit(ALARM)


def _print(found: Mapping[str, Any]) -> None:
    nights, levels = found["nights"], found["levels"]
    alarmed = [level for level in levels if level["alarm_since"] is not None]
    said = f"{len(nights)} nights of {found['suite']}, {len(levels)} levels, {len(alarmed)} in alarm"
    click.echo(untrusted.terminal(said))
    shown = levels[: len(alarmed) + NEAREST]
    print_table(
        ["factor", "level", "alarm since", "log10 M", "alarm at", "rising since", "last night", "null rate"],
        [
            [level["factor"], level["level"], level["alarm_since"], f"{level['log10_m'][-1]:.2f}",
             f"{found['alarm_at_log10_m']:.2f}", level["rising_since"], f"{level['high'][-1]} of {level['scored'][-1]}",
             "no controls" if level["null_rate"][-1] is None else f"{level['null_rate'][-1]:.1%}"]
            for level in shown
        ],
    )
    click.echo(f"Null rate: {found['null_rate']}.")
    click.echo(f"As it is estimated, the {found['arl']:g} nights to a false alarm are approximate.")
    repeated, shared = (sum(night[key] for night in nights) for key in ("repeated", "shared"))
    if repeated:
        click.echo(f"Left out: {repeated:,} conditions that the same candidate was asked on an earlier night.")
    if shared:
        click.echo(f"{shared:,} conditions were asked of another candidate before: their peculiarities count again.")
