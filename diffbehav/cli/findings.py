"""`findings`, `report` and `runs`: read what runs found."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from diffbehav import untrusted
from diffbehav.cli.options import FOLDER, TEXT_FILE, format_option
from diffbehav.terminal import print_table, rule_in_words


@click.command()
@click.argument("run", type=FOLDER)
@format_option
def findings(run: Path, format_: str) -> None:
    """The rules of RUN, best first."""
    if format_ == "json":
        from diffbehav.report import findings_json

        click.echo(json.dumps(findings_json(run), indent=1))
    else:
        print_findings(run)


LISTED = ("run", "created", "suite", "candidate", "conditions", "bytes_per_condition", "verdict", "findings")
FORMATS = ("html", "json", "md", "csv", "figures", "sarif", "junit", "pdf")
USUAL = FORMATS[:5]


@click.command()
@click.argument("run", type=FOLDER, required=False)
@click.option("--from", "source", type=TEXT_FILE, help="Render this report.json again, without its run.")
@click.option("-o", "--out", type=FOLDER, help="Folder of the report; default RUN/report, or that of report.json.")
@click.option("-f", "--format", "formats", type=click.Choice(FORMATS), multiple=True,
              help=f"What is written; may be repeated. Default: {', '.join(USUAL)}.")
def report(run: Path | None, source: Path | None, out: Path | None, formats: tuple[str, ...]) -> None:
    """Write the report of RUN, or of a report.json that is already there.

    report.html stands alone without scripts and is what a review gets. report.json is its content, of which all others
    are forms: report.md (for a comment or a CI summary), findings.csv, figures.html (interactive), report.pdf (printed
    with an installed Chromium), findings.sarif and junit.xml. The last two say what verdict and statuses say; `gate`
    writes them as a gate file judges. SHA256SUMS beside them is for `sha256sum -c`.
    """
    from diffbehav.report import render_report, write_report

    if source is not None and run is None:
        written = render_report(source, out or source.parent, formats or USUAL)
    elif run is not None and source is None:
        written = write_report(run, out or run / "report", formats or USUAL)
    else:
        raise click.UsageError("name either RUN or --from report.json")
    for path in written:
        click.echo(untrusted.terminal(str(path)))


@click.command()
@click.argument("folder", type=FOLDER, default=Path("runs"))
def runs(folder: Path) -> None:
    """The runs below FOLDER with their verdicts."""
    from diffbehav.report import list_runs

    print_table(
        [name.replace("_", " ") for name in LISTED],
        [[row[name] for name in LISTED] for row in list_runs(folder)],
    )


def print_findings(run: Path) -> None:
    """Verdict and best findings of a run, and what became of its sentinels."""
    from diffbehav.report import findings_json

    result = findings_json(run)
    click.echo(untrusted.terminal(f"{result['verdict']}  {run}"))
    print_table(
        ["finding", "rule", "status", "severity", "kind", "score", "inside", "outside", "n"],
        [
            [f["id"], rule_in_words(f["rule"], f["beside"]), f["status"], f["severity"] or "not derived", f["kind"],
             *_rates(f)]
            for f in result["findings"][:10]
        ],
    )
    for f in result["findings"][:10]:
        click.echo(untrusted.terminal(f"{f['id']} {f['severity'] or 'severity not derived'}: {f['severity_reason']}"))
    if result["sentinels"]:
        _print_sentinels(result["sentinels"])
    if result["verdict"] != "DIVERGENT":
        click.echo(untrusted.terminal(result["sensitivity"]["sentence"]) + ".")


def _rates(finding: Mapping[str, Any]) -> list[Any]:
    if finding["reason"] is not None:
        return ["", "", finding["reason"], ""]
    rates = [f"{finding[name]:.1%}" for name in ("rate_inside", "rate_outside")]
    return [f"{finding['score']:.1f}", *rates, finding["n"]]


def _print_sentinels(sentinels: Sequence[Mapping[str, Any]]) -> None:
    print_table(
        ["confirmed earlier", "by", "now", "inside", "outside", "excess, 95 % sequence", "pairs"],
        [
            [rule_in_words(each["rule"], each["beside"]), ", ".join(each["runs"]), each["status"], *_pairs(each)]
            for each in sentinels
        ],
    )


def _pairs(sentinel: Mapping[str, Any]) -> list[Any]:
    if sentinel["reason"] is not None:
        return ["", "", sentinel["reason"], ""]
    points = [f"{100 * sentinel[end]:.0f}" for end in ("effect", "effect_low", "effect_high")]
    excess = f"{points[0]} points, {points[1]} to {points[2]}"
    return [f"{sentinel['rate_inside']:.1%}", f"{sentinel['rate_outside']:.1%}", excess, sentinel["pairs"]]
