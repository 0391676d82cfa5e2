"""`run`: compare a candidate with a trusted model over a suite."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from diffbehav.cli.findings import print_findings
from diffbehav.cli.options import (
    FOLDER,
    MODEL,
    baseline_folder,
    files_options,
    policy_file,
    quiet_option,
    sentinels_option,
    sides_named,
    suite_file,
    wide_option,
)
from diffbehav.terminal import Terminal


@click.command()
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--candidate", type=MODEL, help="Model folder to examine, or http://host:8000/v1#model.")
@click.option("--candidate-adapter", type=FOLDER, help="LoRA adapter folder; --candidate is its base then.")
@click.option("--trusted", type=MODEL, help="Trusted model: as the candidate; or a baseline or run.")
@files_options
@click.option("--out", type=FOLDER, required=True, help="Run folder; an interrupted run is continued.")
@click.option("--limit", type=click.IntRange(1), help="Collect at most this many conditions.")
@click.option("--tool-format", default="auto", show_default=True, help="Tool parser: a vLLM name, or by the template.")
@click.option("--top-k", type=click.IntRange(1, 20), default=20, show_default=True, help="Alternatives kept per token.")
@click.option("--policy", type=click.Path(path_type=Path), help="Policy of tool calls: a YAML file or a shipped one.")
@click.option("--allow-template", is_flag=True, help="Both get the trusted chat template where they differ.")
@click.option("--ledger", type=FOLDER, help="Coverage ledger: ask what none of its runs asked, and add this run to it.")
@click.option("--search", "searching", is_flag=True, help="Then put the rules to the test, as `search`.")
@click.option("--calls", type=click.IntRange(1), default=6000, show_default=True, help="Budget of the search.")
@click.option("--delta", type=click.FloatRange(0, 0.5), help="Of the search: tolerated excess of the firing rate.")
@click.option("--fdr", type=click.FloatRange(0.001, 0.5), help="Of the search: false discovery rate over rules.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the search.")
@wide_option
@sentinels_option
@quiet_option
def run(
    suite: Path, out: Path, searching: bool, calls: int, delta: float | None, fdr: float | None, seed: int,
    wide: int, sentinels: tuple[Path, ...], quiet: bool, **options: Any,
) -> None:  # fmt: skip
    """Compare a candidate with a trusted model over SUITE.

    Collects answers and scores of both, compares them, writes the report; with --search it goes on to put the rules to
    the test. SUITE is a YAML file, or the name of a shipped suite. Repeat the same command to continue an interrupted
    run.

    Either side may be served elsewhere by vLLM: name http://host:8000/v1#model, and with --candidate-files or
    --trusted-files the folder that makes its tokens. An API key is read from DIFFBEHAV_CANDIDATE_API_KEY or
    DIFFBEHAV_TRUSTED_API_KEY.

    A models file (--config) names both sides and how each is served: which GPUs, tensor and data parallelism, memory,
    dtype, and whether both are open together, take turns on one GPU, or are served by Ray. A search of the run serves
    them so again. `diffbehav schema --models` describes every key.
    """
    from diffbehav.collect.run import Request
    from diffbehav.job import run_and_report, search_and_report
    from diffbehav.search.run import SearchRequest

    asked = None
    if searching:
        if delta is None or fdr is None:
            raise click.UsageError("--search needs --delta and --fdr: what a confirmed rule means depends on them")
        asked = SearchRequest(run=out, calls=calls, delta=delta, level=fdr, seed=seed, sentinels=sentinels, wide=wide)
    elif wide:
        raise click.UsageError("--wide belongs to the search; name --search, --delta and --fdr as well")
    elif sentinels:
        raise click.UsageError("--sentinels are asked by the search; name --search, --delta and --fdr as well")
    sides = sides_named(options)
    for side in ("candidate", "trusted"):
        if sides[side] is None:
            raise click.UsageError(f"name the models: --candidate and --trusted, or --config; --{side} is missing")
    if "trusted_endpoint" not in sides:
        sides["trusted"] = baseline_folder(sides["trusted"])
    if searching and any((sides["trusted"] / name).is_file() for name in ("baseline.json", "run.json")):
        raise click.UsageError("--search asks the live trusted model further; name its folder, or leave out --search")
    options["policy"] = policy_file(options["policy"])
    suite = suite_file(suite)
    command = shlex.join(["diffbehav", *sys.argv[1:]])
    request = Request(suite=suite, out=out, command=command, **options, **sides)
    run_and_report(request, terminal=Terminal(quiet=quiet))
    if asked is not None:
        search_and_report(asked, terminal=Terminal(quiet=quiet))
    print_findings(out)
