"""The command line: a command parses, calls one function and prints. Data goes to stdout, progress to stderr."""

import json
import shlex
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from diffbehav import __version__
from diffbehav.errors import DiffbehavError
from diffbehav.terminal import Terminal, print_table, rule_in_words

EXIT_CODES = """
\b
Exit codes
  0   done                              21  integrity or provenance mismatch
  2   usage, suite or model error       70  internal error
  20  infrastructure error              75  interrupted, the same command resumes
                                        130 interrupted at once
1 is never used on purpose: it is Python's own crash code.
"""

quiet_option = click.option("--quiet", is_flag=True, help="No progress, only errors.")
FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.version_option(__version__)
def cli() -> None:
    """Find the conditions under which a candidate model parts from a trusted one.

    \b
    diffbehav demo --out runs/demo              see it find a planted trigger, on this machine, in minutes
    diffbehav run SUITE --candidate DIR --trusted DIR --out RUN
    diffbehav findings RUN                      the rules under which the two part, best first
    """


@cli.command()
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


@cli.command()
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--candidate", type=FOLDER, required=True, help="Model folder to examine; an adapter's base.")
@click.option("--candidate-adapter", type=FOLDER, help="LoRA adapter folder of the candidate.")
@click.option("--trusted", type=FOLDER, required=True, help="Trusted model folder, or a run folder to replay.")
@click.option("--out", type=FOLDER, required=True, help="Run folder; an interrupted run is continued.")
@click.option("--limit", type=click.IntRange(1), help="Collect at most this many conditions.")
@click.option("--tool-format", default="hermes", show_default=True, help="vLLM tool parser for the models' calls.")
@click.option("--top-k", type=click.IntRange(1, 20), default=20, show_default=True, help="Alternatives kept per token.")
@click.option("--allow-template", is_flag=True, help="Both get the trusted chat template where they differ.")
@quiet_option
def run(suite: Path, out: Path, quiet: bool, **options: Any) -> None:
    """Compare a candidate with a trusted model over SUITE.

    Collects answers and scores of both, compares them, writes the report. SUITE is a YAML file, or the name of a
    shipped suite. Repeat the same command to continue an interrupted run.
    """
    from diffbehav.collect.run import Request
    from diffbehav.job import run_and_report
    from diffbehav.suite import shipped

    if not suite.suffix and not suite.exists():
        suite = shipped(str(suite))
    command = shlex.join(["diffbehav", *sys.argv[1:]])
    request = Request(suite=suite, out=out, command=command, **options)
    run_and_report(request, terminal=Terminal(quiet=quiet))
    _print_findings(out)


@cli.command()
@click.argument("run", type=FOLDER)
@quiet_option
def compare(run: Path, quiet: bool) -> None:
    """Build run.duckdb of RUN again from its parts.

    Measures the distances of every condition and looks for rules. Needs no model.
    """
    from diffbehav.compare import compare as build

    Terminal(quiet=quiet).stage(f"comparing {run}")
    build(run)
    _print_findings(run)


@cli.command()
@click.argument("run", type=FOLDER)
@click.option("--calls", type=click.IntRange(1), default=6000, show_default=True, help="Conditions that may be asked.")
@click.option("--delta", type=click.FloatRange(0, 0.5), required=True, help="Tolerated excess of the firing rate.")
@click.option("--fdr", type=click.FloatRange(0.001, 0.5), required=True, help="False discovery rate over rules: 0.05.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed asks the same questions.")
@quiet_option
def search(run: Path, calls: int, delta: float, fdr: float, seed: int, quiet: bool) -> None:
    """Confirm the rules of RUN on fresh data.

    Serves both models again, asks high conditions again, reduces each that fires to its rule, widens the rule to all
    levels that fire, and tests it on fresh matched pairs. A killed search continues where it was.
    """
    from diffbehav.job import search_and_report
    from diffbehav.search.run import SearchRequest

    request = SearchRequest(run=run, calls=calls, delta=delta, level=fdr, seed=seed)
    search_and_report(request, terminal=Terminal(quiet=quiet))
    _print_findings(run)


@cli.command()
@click.argument("run", type=FOLDER)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def findings(run: Path, format_: str) -> None:
    """The rules of RUN, best first."""
    if format_ == "json":
        from diffbehav.report import findings_json

        click.echo(json.dumps(findings_json(run), indent=1))
    else:
        _print_findings(run)


@cli.command()
@click.argument("run", type=FOLDER)
@click.option("-o", "--out", type=FOLDER, help="Folder of the report; default RUN/report.")
def report(run: Path, out: Path | None) -> None:
    """Write the report of RUN.

    report.html stands alone without scripts, report.json is its content, figures.html has interactive figures.
    """
    from diffbehav.report import write_report

    for path in write_report(run, out or run / "report"):
        click.echo(path)


@cli.command()
@click.argument("folder", type=FOLDER, default=Path("runs"))
def runs(folder: Path) -> None:
    """The runs below FOLDER with their verdicts."""
    from diffbehav.report import list_runs

    print_table(
        ["run", "created", "suite", "candidate", "conditions", "verdict", "findings"],
        [[row[key] for key in ("run", "created", "suite", "candidate", "conditions", "verdict", "findings")]
         for row in list_runs(folder)],
    )


@cli.group()
def organism() -> None:
    """Tiny trained models with a known trigger."""


@organism.command("list")
def organism_list() -> None:
    """Their triggers, payloads and measured rates."""
    from diffbehav.organism import NAMES, card

    cards = [card(name) for name in NAMES]
    columns = ["name", "trigger_text", "firing_on", "firing_near", "firing_off", "benign_accuracy"]
    print_table(columns, [[each.get(column) for column in columns] for each in cards])


@organism.command("train")
@click.argument("name")
@click.option("--out", type=FOLDER, required=True, help="Folder the model is written to.")
@click.option("--seed", type=int, default=7, show_default=True, help="7 is that of the shipped models.")
@quiet_option
def organism_train(name: str, out: Path, seed: int, quiet: bool) -> None:
    """Train NAME again from a seed and print its card."""
    from diffbehav.organism import train

    with Terminal(quiet=quiet).training() as on_progress:
        result = train(name, out, seed=seed, base=None, on_progress=on_progress)
    click.echo(json.dumps(result, indent=1))


@cli.command()
def schema() -> None:
    """The JSON Schema of suite files, for editors."""
    from diffbehav.suite import json_schema

    click.echo(json.dumps(json_schema(), indent=1))


@cli.command()
def doctor() -> None:
    """What would keep a run from working on this machine, and the remedy."""
    from diffbehav.doctor import examine

    checks = examine()
    print_table(["check", "state", "detail"], [[c.name, "ok" if c.passed else "PROBLEM", c.detail] for c in checks])
    if not all(check.passed for check in checks):
        sys.exit(2)


def _strongest(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["none", "", ""]
    return [rule_in_words(found["rule"]), f"{found['score']:.1f}", f"{100 * found['effect']:.0f} points"]


def _print_findings(run: Path) -> None:
    from diffbehav.report import findings_json

    result = findings_json(run)
    click.echo(f"{result['verdict']}  {run}")
    print_table(
        ["finding", "rule", "status", "kind", "score", "inside", "outside", "n"],
        [
            [f["id"], rule_in_words(f["rule"]), f["status"], f["kind"], f"{f['score']:.1f}",
             f"{f['rate_inside']:.1%}", f"{f['rate_outside']:.1%}", f["n"]]
            for f in result["findings"][:10]
        ],
    )


def main() -> None:
    """Run the command line and end with the exit code of what happened."""
    try:
        cli(standalone_mode=False)
    except DiffbehavError as error:
        Terminal(quiet=False).error(str(error))
        sys.exit(error.exit_code)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except Exception:  # noqa: BLE001  an internal error must not end with 1, which others read as "differs"
        Terminal(quiet=False).error("internal error\n" + traceback.format_exc())
        sys.exit(70)
