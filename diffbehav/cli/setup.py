"""`schema` and `doctor`: what an editor and a machine need."""

import json
import sys

import click

from diffbehav.terminal import print_table


@click.command()
@click.option("--policy", is_flag=True, help="Of policy files instead.")
@click.option("--gate", is_flag=True, help="Of gate files instead.")
@click.option("--nightly", is_flag=True, help="Of nightly files instead.")
def schema(policy: bool, gate: bool, nightly: bool) -> None:
    """The JSON Schema of suite files, for editors."""
    from diffbehav.suite import gate_schema, json_schema, nightly_schema, policy_schema

    if policy + gate + nightly > 1:
        raise click.UsageError("name one of --policy, --gate and --nightly")
    chosen = policy_schema if policy else gate_schema if gate else nightly_schema if nightly else json_schema
    click.echo(json.dumps(chosen(), indent=1))


@click.command()
def doctor() -> None:
    """What would keep a run from working on this machine, and the remedy."""
    from diffbehav.doctor import examine

    checks = examine()
    print_table(["check", "state", "detail"], [[c.name, "ok" if c.passed else "PROBLEM", c.detail] for c in checks])
    if not all(check.passed for check in checks):
        sys.exit(2)
