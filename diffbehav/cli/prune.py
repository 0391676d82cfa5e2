"""`prune`: drop what a finished run no longer needs."""

from pathlib import Path

import click

from diffbehav.cli.options import FOLDER


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--sample", type=click.FloatRange(0, 1), required=True, help="Share of the others that keep them too.")
def prune(run: Path, sample: float) -> None:
    """Drop the top-k log-probabilities of the conditions of RUN that are neither flagged nor in a fixed sample.

    The log-probabilities of the answers stay, and per token what the top-k lists of both models came to, so `compare`
    gives the same numbers. A pruned run cannot be pinned as a baseline, and replayed it has no distances that need the
    dropped lists.
    """
    from diffbehav.compare.prune import prune as prune_run

    found = prune_run(run, share=sample)
    before, after = (size / found.conditions for size in (found.bytes_before, found.bytes_after))
    click.echo(
        f"{found.kept:,} of {found.conditions:,} conditions keep their top-k lists; scores take {after:,.0f} bytes a "
        f"condition, {before:,.0f} before"
    )
