"""`checkpoints`: compare the checkpoints of a training run with one trusted side."""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from diffbehav import untrusted
from diffbehav.cli.options import FILES, FOLDER, MODEL, format_option, policy_file, quiet_option, suite_file
from diffbehav.terminal import Terminal, print_table, rule_in_words


@click.command()
@click.argument("suite", type=click.Path(path_type=Path))
@click.argument("places", metavar="CHECKPOINT...", type=MODEL, nargs=-1, required=True)
@click.option("--trusted", type=MODEL, required=True, help="Trusted model folder, or http://host:8000/v1#model.")
@click.option("--trusted-files", type=FOLDER, help=FILES.format(side="trusted"))
@click.option("--candidate-files", "files", type=FOLDER, help="The same of checkpoints that are served elsewhere.")
@click.option("--base", type=FOLDER, help="Base model of checkpoints that are adapters; default: the trusted model.")
@click.option("--out", type=FOLDER, required=True, help="Folder of the runs and of checkpoints.md.")
@click.option("--limit", type=click.IntRange(1), help="Collect at most this many conditions of each.")
@click.option("--tool-format", default="auto", show_default=True, help="Tool parser: a vLLM name, or by the template.")
@click.option("--top-k", type=click.IntRange(1, 20), default=20, show_default=True, help="Alternatives kept per token.")
@click.option("--policy", type=click.Path(path_type=Path), help="Policy of tool calls: a YAML file or a shipped one.")
@click.option("--allow-template", is_flag=True, help="All get the trusted chat template where they differ.")
@click.option("--calls", type=click.IntRange(1), default=6000, show_default=True, help="Budget of each search.")
@click.option("--delta", type=click.FloatRange(0, 0.5), required=True, help="Tolerated excess of the firing rate.")
@click.option("--fdr", type=click.FloatRange(0.001, 0.5), required=True, help="False discovery rate at a checkpoint.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the searches.")
@format_option
@quiet_option
def checkpoints(
    suite: Path, places: tuple[Path | str, ...], trusted: Path | str, trusted_files: Path | None, policy: Path | None,
    format_: str, quiet: bool, **options: Any
) -> None:  # fmt: skip
    """Compare every CHECKPOINT of a training run with one trusted model over SUITE.

    CHECKPOINT... are folders of models or adapters in the order of the training, or one folder of such, taken by the
    numbers in their names; or what a server serves, http://host:8000/v1#model. All are asked the same conditions; a
    rule that fresh pairs confirm at one of them is asked at every other one. Repeat the same command to continue; a
    later checkpoint is added by naming it as well.

    One that cannot be compared is INVALID with its reason, and the others go on. The command then ends with 21 where
    its files are at fault, with 20 where the machine failed; repeated, it tries again what failed.
    """
    from diffbehav.checkpoint_series import SeriesRequest, compare_series
    from diffbehav.serve import endpoint_of

    command = shlex.join(["diffbehav", *sys.argv[1:]])
    endpoint = endpoint_of(trusted, "trusted") if isinstance(trusted, str) else None
    if (endpoint is None) != (trusted_files is None):
        raise click.UsageError("--trusted-files belongs to an address behind --trusted, and such an address needs it")
    folder = trusted_files or Path(trusted)
    options["base"] = options["base"] or folder
    request = SeriesRequest(
        suite=suite_file(suite), policy=policy_file(policy), command=command, trusted=folder, trusted_endpoint=endpoint,
        places=[endpoint_of(each, "candidate") if isinstance(each, str) else each for each in places], **options,
    )  # fmt: skip
    found = compare_series(request, terminal=Terminal(quiet=quiet))
    if format_ == "json":
        click.echo(json.dumps(found, indent=1))
    else:
        _print(found, request.out)
    # Where the machine failed, repeating the command may help; so 20 goes before 21.
    codes = [each["invalid"]["exit_code"] for each in found["checkpoints"] if each["invalid"] is not None]
    sys.exit(min(codes, default=0))


def _print(found: Mapping[str, Any], out: Path) -> None:
    from diffbehav.report.checkpoints_markdown import (
        cell_in_words,
        change_in_words,
        measure_in_words,
        measured,
        quantile_in_words,
        strongest_in_words,
    )

    names = [each["name"] for each in found["checkpoints"]]
    compared = measured(found)
    confirmed = [
        (rule_in_words(each["rule"]) + measure_in_words(each), each)
        for each in found["rules"]
        if each["first_confirmed"] is not None
    ]
    print_table(
        ["checkpoint", "verdict", "llr_scan median, nats", "95 % quantile", "far above"],
        [
            [each["name"] + (f" (= {each['same_as']})" if each["same_as"] else ""), each["verdict"],
             *(quantile_in_words(each["drift"]["channels"]["llr_scan"], of) for of in ("median", "q95")),
             f"{each['drift']['residual']['far']:,} of {each['drift']['residual']['n']:,}"]
            for each in compared
        ],
    )  # fmt: skip
    for each in compared:
        if each["same_as"] is None:
            click.echo(untrusted.terminal(f"{each['name']}: strongest reaction {strongest_in_words(each['drift'])}"))
    click.echo(f"Drift and reactions are over {found['drift_over']}; reactions are exploratory.")
    if confirmed:
        click.echo()
        print_table(
            ["rule, inside / outside of pairs", *names],
            [[rule, *map(cell_in_words, each["cells"])] for rule, each in confirmed],
        )
    for rule, each in confirmed:
        said = [change_in_words(change) for change in each["changes"]] or ["no change between checkpoints is shown"]
        click.echo(untrusted.terminal(f"{rule}: {'. '.join(said)}."))
    if not confirmed:
        click.echo("No rule was CONFIRMED at any checkpoint.")
    for each in found["checkpoints"]:
        if each["invalid"] is not None:
            click.echo(untrusted.terminal(f"{each['name']} is INVALID: {each['invalid']['reason']}"))
    click.echo(untrusted.terminal(str(out / "checkpoints.md")))
