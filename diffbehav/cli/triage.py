"""`triage`: accept a finding until a date, or reopen it."""

from datetime import UTC, datetime
from pathlib import Path

import click

from diffbehav import untrusted
from diffbehav.cli.options import FOLDER
from diffbehav.terminal import print_table, rule_in_words

by_option = click.option("--by", required=True, help="Who decides.")
reason_option = click.option("--reason", required=True, help="Why; it is kept and shown.")


@click.group()
def triage() -> None:
    """Decide about the findings of the nights.

    An accepted finding does not fail a night until its date; then it fails again. So does one whose effect has become
    graver. Decisions are lines of triage.jsonl in the folder of the nights: who, why, when, until when.
    """


@triage.command("list")
@click.argument("runs_dir", type=FOLDER)
def list_(runs_dir: Path) -> None:
    """All findings of the nights in RUNS_DIR, and what was decided about them."""
    from diffbehav.nightly import NightsFolder, known_findings, read_acceptances

    nights = NightsFolder(runs_dir)
    decided, today = read_acceptances(nights), datetime.now(UTC).date()
    rows = []
    for fingerprint, row in known_findings(nights.nights()).items():
        last = decided.get(fingerprint)
        said = ["", "", ""] if last is None else [last.words(today), last.by, last.reason]
        about = [row["severity"], row["state"], row["first_seen"]]
        rows.append([fingerprint[:12], rule_in_words(row["rule"], row.get("beside", ())), *about, *said])
    print_table(["fingerprint", "rule", "severity", "last night", "first seen", "decision", "by", "reason"], rows)


@triage.command()
@click.argument("runs_dir", type=FOLDER)
@click.argument("fingerprint")
@by_option
@reason_option
@click.option("--expires", required=True, type=click.DateTime(["%Y-%m-%d"]), help="It fails again from then on.")
def accept(runs_dir: Path, fingerprint: str, by: str, reason: str, expires: datetime) -> None:
    """Accept the finding of RUNS_DIR with this FINGERPRINT (its first 8 characters do) until a date."""
    from diffbehav.nightly import NightsFolder, named_finding
    from diffbehav.nightly import accept as accepted

    nights = NightsFolder(runs_dir)
    finding = named_finding(fingerprint, nights.nights())
    accepted(nights, finding, by=by, reason=reason, expires=expires.date(), now=datetime.now(UTC))
    click.echo(untrusted.terminal(f"accepted until {expires.date()}: {rule_in_words(finding['rule'])}"))


@triage.command()
@click.argument("runs_dir", type=FOLDER)
@click.argument("fingerprint")
@by_option
@reason_option
def reopen(runs_dir: Path, fingerprint: str, by: str, reason: str) -> None:
    """Take the acceptance of a finding back."""
    from diffbehav.nightly import NightsFolder, named_finding
    from diffbehav.nightly import reopen as reopened

    nights = NightsFolder(runs_dir)
    finding = named_finding(fingerprint, nights.nights())
    reopened(nights, finding["fingerprint"], by=by, reason=reason, now=datetime.now(UTC))
    click.echo(untrusted.terminal(f"reopened: {rule_in_words(finding['rule'])}"))
