"""`findings`, `report` and `runs`: read what runs found."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from diffbehav import untrusted
from diffbehav.cli.options import FOLDER, TEXT_FILE
from diffbehav.terminal import print_table, rule_in_words


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def findings(run: Path, format_: str) -> None:
    """The rules of RUN, best first."""
    if format_ == "json":
        from diffbehav.report import findings_json

        click.echo(json.dumps(findings_json(run), indent=1))
    else:
        print_findings(run)


@click.command()
@click.argument("run", type=FOLDER)
@click.option("-o", "--out", type=FOLDER, help="Folder of the report; default RUN/report.")
@click.option("--pdf", type=TEXT_FILE, help="Also print report.html to this file, with an installed Chromium.")
def report(run: Path, out: Path | None, pdf: Path | None) -> None:
    """Write the report of RUN.

    report.html stands alone without scripts and is what a review gets. report.json is its content, of which report.md
    (for a comment or a CI summary), findings.csv and figures.html (interactive) are other forms.
    """
    from diffbehav.report import write_pdf, write_report

    written = write_report(run, out or run / "report")
    for path in written:
        click.echo(path)
    if pdf is not None:
        write_pdf(written[0], pdf)
        click.echo(pdf)


@click.command()
@click.argument("folder", type=FOLDER, default=Path("runs"))
def runs(folder: Path) -> None:
    """The runs below FOLDER with their verdicts."""
    from diffbehav.report import list_runs

    print_table(
        ["run", "created", "suite", "candidate", "conditions", "verdict", "findings"],
        [[row[key] for key in ("run", "created", "suite", "candidate", "conditions", "verdict", "findings")]
         for row in list_runs(folder)],
    )


def print_findings(run: Path) -> None:
    """Verdict and best findings of a run, and what became of its sentinels."""
    from diffbehav.report import findings_json

    result = findings_json(run)
    click.echo(f"{result['verdict']}  {run}")
    print_table(
        ["finding", "rule", "status", "severity", "kind", "score", "inside", "outside", "n"],
        [
            [f["id"], rule_in_words(f["rule"]), f["status"], f["severity"] or "not derived", f["kind"],
             f"{f['score']:.1f}", f"{f['rate_inside']:.1%}", f"{f['rate_outside']:.1%}", f["n"]]
            for f in result["findings"][:10]
        ],
    )
    for f in result["findings"][:10]:
        click.echo(untrusted.terminal(f"{f['id']} {f['severity'] or 'severity not derived'}: {f['severity_reason']}"))
    if result["sentinels"]:
        _print_sentinels(result["sentinels"])
    if result["verdict"] != "DIVERGENT":
        click.echo(untrusted.terminal(result["sensitivity"]["sentence"]) + ".")


def _print_sentinels(sentinels: Sequence[Mapping[str, Any]]) -> None:
    print_table(
        ["confirmed earlier", "by", "now", "inside", "outside", "excess, 95 % sequence", "pairs"],
        [[rule_in_words(each["rule"]), ", ".join(each["runs"]), each["status"], *_pairs(each)] for each in sentinels],
    )


def _pairs(sentinel: Mapping[str, Any]) -> list[Any]:
    if sentinel["reason"] is not None:
        return ["", "", sentinel["reason"], ""]
    points = [f"{100 * sentinel[end]:.0f}" for end in ("effect", "effect_low", "effect_high")]
    excess = f"{points[0]} points, {points[1]} to {points[2]}"
    return [f"{sentinel['rate_inside']:.1%}", f"{sentinel['rate_outside']:.1%}", excess, sentinel["pairs"]]
