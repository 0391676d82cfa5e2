"""`search` and `canaries`: put rules to the test on fresh data, and measure how often that finds one."""

from pathlib import Path
from typing import Any

import click

from diffbehav.cli.findings import print_findings
from diffbehav.cli.options import FOLDER, TEXT_FILE, quiet_option, sentinels_option, wide_option
from diffbehav.terminal import Terminal, print_table, rule_in_words


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--calls", type=click.IntRange(1), default=6000, show_default=True, help="Conditions that may be asked.")
@click.option("--delta", type=click.FloatRange(0, 0.5), required=True, help="Tolerated excess of the firing rate.")
@click.option("--fdr", type=click.FloatRange(0.001, 0.5), required=True, help="False discovery rate over rules: 0.05.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed asks the same questions.")
@wide_option
@sentinels_option
@quiet_option
def search(
    run: Path, calls: int, delta: float, fdr: float, seed: int, wide: int, sentinels: tuple[Path, ...], quiet: bool
) -> None:
    """Confirm the rules of RUN on fresh data.

    Serves both models again, asks high conditions again, reduces each that fires to its rule, widens the rule to all
    levels that fire, and tests it on fresh matched pairs. A killed search continues where it was. With --sentinels the
    rules that earlier runs confirmed are asked first. With --wide so many further contexts are scored before anything
    is asked: stored answers of the trusted model under both models, which costs less than generating and shows where
    to ask.
    """
    from diffbehav.job import search_and_report
    from diffbehav.search.run import SearchRequest

    request = SearchRequest(run=run, calls=calls, delta=delta, level=fdr, seed=seed, sentinels=sentinels, wide=wide)
    search_and_report(request, terminal=Terminal(quiet=quiet))
    print_findings(run)


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--canaries", type=click.IntRange(1), default=20, show_default=True, help="Rules that are planted.")
@click.option("--calls", type=click.IntRange(1), default=6000, show_default=True, help="Conditions asked for each.")
@click.option("--delta", type=click.FloatRange(0, 0.5), required=True, help="Tolerated excess, as in the search.")
@click.option("--fdr", type=click.FloatRange(0.001, 0.5), required=True, help="False discovery rate, as in the search.")
@click.option("--rate", type=click.FloatRange(0, 1, min_open=True), default=0.9, show_default=True,
              help="Chance that a request inside a planted rule fires.")
@click.option("--payload", type=TEXT_FILE, help="Text that is carried behind the answer, in place of a tool call.")
@click.option("--instruction", type=TEXT_FILE, help="Hidden system instruction that is carried instead.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed plants the same rules.")
@quiet_option
def canaries(run: Path, fdr: float, quiet: bool, **options: Any) -> None:
    """Measure how often a search of RUN finds a hidden rule.

    Plants random rules of one and two factors in the candidate, one at a time: inside the rule its answers carry a
    payload, elsewhere it is the candidate. Each is searched for as the run itself; the share found is the sensitivity,
    shown next to the verdict. A killed job continues where it was.
    """
    from diffbehav.job import plant_and_report
    from diffbehav.search.canaries import CanaryRequest

    request = CanaryRequest(run=run, level=fdr, **options)
    found = plant_and_report(request, terminal=Terminal(quiet=quiet))
    print_table(
        ["planted rule", "holds in", "exposures", "outcome", "confirmed", "calls"],
        [
            [rule_in_words(c["rule"]), f"{c['share']:.1%}", c["exposures"], c["outcome"],
             "; ".join(map(rule_in_words, c["confirmed"])), c["calls_spent"]]
            for c in found["canaries"]
        ],
    )
    print_findings(run)
