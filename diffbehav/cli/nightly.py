"""`nightly`: an unattended night with one exit code, and the check that nights go on."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from diffbehav import untrusted
from diffbehav.cli.options import FOLDER, TEXT_FILE, format_option, quiet_option
from diffbehav.terminal import Terminal, print_table, rule_in_words

STALE = 11
EXAMPLE = """
\b
A configuration; paths start from its folder, and what changes the meaning of a number has no default:
  schema: diffbehav.nightly/1
  suite: agent_context                # a file, or a suite that ships
  candidate: models/tuned             # or http://host:8000/v1#tuned, with candidate_files: models/base
  trusted: models/base                # likewise; or a baseline: then search, canary and ledger are none
                                      # or in place of both: `models: models.yaml`, as for `run --config`
  limit: 2400                         # or all
  policy: agent_context               # or none
  ledger: runs/ledger                 # every night asks what none before it asked; or none
  search: {delta: 0.05, fdr: 0.05, calls: 6000}
  canary: {rule: {user: [guest]}, calls: 1500, rate: 0.9}
  arl: 1095                           # nights to a false alarm of the monitor
  gate: gate.yaml                     # or its keys
  prune: 0.05                         # as `prune --sample`, once the night is compared; or leave it out
  out: runs/nightly
  link: https://ci.example/nights/{date}/report.html    # told with every change
  notify:
    - command: [/usr/local/bin/page-oncall, --team, ml]
    - webhook_env: DIFFBEHAV_WEBHOOK
\b
Exit codes
  0   nothing beyond the gate          20  infrastructure error; another night holds the lock
  10  a finding beyond it, or a        21  a model, suite or baseline is not what it was
      level that rises over nights     75  interrupted; the same command goes on from there
  11  the night cannot say, e.g. the   2   usage or configuration error
      canary was missed; --check: no night for too long
\b
Two lines for cron, the second on another machine if you can:
  17 2 * * *  diffbehav nightly -c /srv/nightly.yaml --quiet
  5 * * * *   diffbehav nightly --check 36h --out /srv/runs/nightly || page-oncall
"""


@click.command(epilog=EXAMPLE)
@click.option("-c", "--config", type=TEXT_FILE, help="Nightly file; `diffbehav schema --nightly` describes every key.")
@click.option("--out", type=FOLDER, help="Folder of the nights, one run folder per UTC date; in place of the file's.")
@click.option("--check", metavar="TIME", help="Run nothing; 11 if the last night was finished longer ago: 36h.")
@format_option
@quiet_option
def nightly(config: Path | None, out: Path | None, check: str | None, format_: str, quiet: bool) -> None:
    """Run tonight's comparison unattended and end with one exit code.

    Plans, collects, compares, searches (what earlier nights confirmed is asked first), plants a canary that the search
    must find, applies gate, triage and monitor, writes report, night.md, junit.xml and findings.sarif, and tells who is
    to be told when something changed. Repeat the command after an interruption: it goes on where it was. A date that is
    finished is not run twice.
    """
    from diffbehav.nightly import NightsFolder, Outside, alive, run_night
    from diffbehav.suite import load_nightly

    loaded = None if config is None else load_nightly(config)
    if out is None and loaded is not None and loaded.file.out is not None:
        out = loaded.place(loaded.file.out)
    if out is None:
        raise click.UsageError("name the folder of the nights: --out, or `out:` in the file that -c names")
    nights = NightsFolder(out)
    if check is not None:
        found = alive(nights, within=check, now=Outside().now())
        click.echo(untrusted.terminal(found.said))
        sys.exit(0 if found.is_alive else STALE)
    if loaded is None:
        raise click.UsageError("name the configuration: -c nightly.yaml")
    night = run_night(loaded, nights, terminal=Terminal(quiet=quiet), outside=Outside())
    if format_ == "json":
        click.echo(json.dumps(night, indent=1))
    else:
        _print(night, out / night["date"])
    sys.exit(night["exit_code"])


def _print(night: Mapping[str, Any], folder: Path) -> None:
    click.echo(untrusted.terminal(f"{night['result']}  {folder}"))
    print_table(
        ["state", "rule", "severity", "tonight", "fingerprint", ""],
        [
            [row["state"], rule_in_words(row["rule"], row.get("beside", ())), row["severity"], row["status"],
             row["fingerprint"][:12], row["reason"]]
            for row in night["findings"]
        ],
    )  # fmt: skip
    for check in night["checks"]:
        if check["result"] != "passed":
            click.echo(untrusted.terminal(f"{check['result']:<12}  {check['name'][:16]:<16}  {check['reason']}"))
    for change in night["changes"]:
        click.echo(untrusted.terminal(f"changed: {change}"))
