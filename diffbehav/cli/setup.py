"""`schema` and `doctor`: what an editor and a machine need."""

import json
import sys

import click

from diffbehav.terminal import print_table


@click.command()
@click.option("--policy", is_flag=True, help="Of policy files instead.")
@click.option("--gate", is_flag=True, help="Of gate files instead.")
@click.option("--nightly", is_flag=True, help="Of nightly files instead.")
@click.option("--models", is_flag=True, help="Of models files instead.")
def schema(**kinds: bool) -> None:
    """The JSON Schema of suite files, for editors."""
    from diffbehav.suite import gate_schema, json_schema, models_schema, nightly_schema, policy_schema

    named = [kind for kind, wanted in kinds.items() if wanted]
    if len(named) > 1:
        raise click.UsageError("name one of --policy, --gate, --nightly and --models")
    known = {"policy": policy_schema, "gate": gate_schema, "nightly": nightly_schema, "models": models_schema}
    chosen = known[named[0]] if named else json_schema
    click.echo(json.dumps(chosen(), indent=1))


@click.command()
def doctor() -> None:
    """What would keep a run from working on this machine, and the remedy."""
    from diffbehav.doctor import examine

    checks = examine()
    print_table(["check", "state", "detail"], [[c.name, "ok" if c.passed else "PROBLEM", c.detail] for c in checks])
    if not all(check.passed for check in checks):
        sys.exit(2)
