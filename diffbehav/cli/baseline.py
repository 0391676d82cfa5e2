"""`baseline`: pin the trusted side of a run, and keep it."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from diffbehav import untrusted
from diffbehav.cli.options import FOLDER, baseline_folder, format_option
from diffbehav.records import excerpt
from diffbehav.terminal import print_table

EXCERPT = 160
"""Characters of an answer that `diff` shows."""


def signed_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where the baseline lies, who does something to it, and why."""
    for option in (
        click.option("--in", "places", type=FOLDER, default=Path("baselines"), show_default=True,
                     help="Folder of the baselines."),
        click.option("--why", required=True, help="Why; kept in the manifest."),
        click.option("--by", required=True, help="Who does this; kept in the manifest."),
    ):  # fmt: skip
        command = option(command)
    return command


def generation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What makes a generation of a run: its name and until when it holds, too."""
    for option in (
        signed_options,
        click.option("--expires", type=click.DateTime(["%Y-%m-%d"]),
                     help="First day (UTC) on which it is refused; never without."),
        click.option("--name", required=True, help="Name of the baseline."),
        click.argument("run", type=FOLDER),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group()
def baseline() -> None:
    """Pinned trusted runs, to compare candidates with where no trusted model is at hand.

    \b
    diffbehav run SUITE --candidate BASE --trusted BASE --out runs/base
    diffbehav baseline pin runs/base --name base --by NAME --why TEXT
    diffbehav run SUITE --candidate TUNED --trusted baselines/base --out runs/tuned

    A baseline holds conditions, trusted answers and their scores. Replaying it gives everything that is based on text,
    calls or the teacher-forced trusted answers; the trusted score of an answer that the trusted model did not give is
    NULL with its reason. A run is refused that differs in suite, tokenizer, template or serving. BASELINE is a folder,
    or the name of a shipped baseline.
    """


@baseline.command("pin")
@generation_options
def baseline_pin(run: Path, name: str, by: str, why: str, expires: datetime | None, places: Path) -> None:
    """Pin the trusted side of RUN under a new name.

    RUN must have asked the live trusted model, be finished and not be INVALID. What it found of its candidate is kept
    with it: the report of a run against the baseline says which rules are new, persisting or resolved.
    """
    from diffbehav.store import BaselineFolder, RunFolder, Signed, pin

    folder = BaselineFolder(places / name)
    _say(folder.path, pin(RunFolder(run), folder, signed=Signed(by, why, _now()), expires=_day(expires)))


@baseline.command("promote")
@generation_options
def baseline_promote(run: Path, name: str, by: str, why: str, expires: datetime | None, places: Path) -> None:
    """Give a baseline a new generation from RUN.

    Digests, dates, names and reasons of the former generations stay in the manifest, their answers do not. RUN must
    have asked the live trusted model, be finished and not be INVALID.
    """
    from diffbehav.store import BaselineFolder, RunFolder, Signed, promote

    folder = BaselineFolder(places / name)
    _say(folder.path, promote(RunFolder(run), folder, signed=Signed(by, why, _now()), expires=_day(expires)))


@baseline.command("expire")
@click.argument("name")
@signed_options
def baseline_expire(name: str, by: str, why: str, places: Path) -> None:
    """Mark the baseline NAME so that no run is compared with it any more."""
    from diffbehav.store import BaselineFolder, Signed, expire

    folder = BaselineFolder(places / name)
    expire(folder, signed=Signed(by, why, _now()))
    click.echo(untrusted.terminal(f"{folder.path} is refused from now on"))


@baseline.command("show")
@click.argument("place", metavar="BASELINE", type=FOLDER)
@format_option
def baseline_show(place: Path, format_: str) -> None:
    """What BASELINE is: who pinned it, from what, with which digests, and its former generations.

    With --format json the whole manifest.
    """
    from diffbehav.store import BaselineFolder, read_manifest

    manifest = read_manifest(BaselineFolder(baseline_folder(place)))
    if format_ == "json":
        click.echo(json.dumps(manifest, indent=1))
    else:
        _print(manifest)


@baseline.command("verify")
@click.argument("place", metavar="BASELINE", type=FOLDER)
@click.option("--model", type=FOLDER, help="Also hold the files of this model folder against the pinned digests.")
def baseline_verify(place: Path, model: Path | None) -> None:
    """Compute every digest of BASELINE again.

    Ends with 21 and names each file that was changed, is missing or was added. Whoever can write the folder can write
    its digests too: compare the digest printed here with one that was kept elsewhere.
    """
    from diffbehav.intake import check_same_model, read_model
    from diffbehav.store import BaselineFolder, check_whole, read_manifest

    folder = BaselineFolder(baseline_folder(place))
    manifest = read_manifest(folder)
    check_whole(folder, manifest)
    if model is not None:
        check_same_model(manifest["digests"], read_model(model))
    said = f"{len(manifest['files'])} files and the manifest are what was pinned; digest {manifest['digest']}"
    click.echo(untrusted.terminal(f"{folder.path}: {said}"))


@baseline.command("diff")
@click.argument("first", type=FOLDER)
@click.argument("second", type=FOLDER)
@click.option("--examples", type=click.IntRange(0), default=3, show_default=True, help="Answers to show.")
@format_option
def baseline_diff(first: Path, second: Path, examples: int, format_: str) -> None:
    """Which fields of the manifests, conditions and answers differ between two baselines."""
    from diffbehav.store import BaselineFolder, compare_baselines

    found = compare_baselines(*(BaselineFolder(baseline_folder(each)) for each in (first, second)), examples=examples)
    if format_ == "json":
        shown = [{**each._asdict(), **_written(each)} for each in found.examples]
        click.echo(json.dumps(found._asdict() | {"examples": shown}, indent=1))
        return
    print_table(["field", "first", "second"], [[path, excerpt(a), excerpt(b)] for path, a, b in found.fields])
    click.echo(
        f"conditions: {found.conditions:,} in both, {found.only_first:,} only in the first, {found.only_second:,} only "
        "in the second"
    )
    click.echo(
        f"answers: {found.answers:,} in both, the text differs in {_share(found.text_differs, found.answers)}, the "
        f"calls in {_share(found.calls_differ, found.answers)}"
    )
    for each in found.examples:
        click.echo(untrusted.terminal(f"{each.condition_id} sample {each.sample} turn {each.turn}"))
        click.echo("  first   " + untrusted.terminal(untrusted.shorten(each.first_text, EXCERPT)))
        click.echo("  second  " + untrusted.terminal(untrusted.shorten(each.second_text, EXCERPT)))


def _written(changed: Any) -> dict[str, untrusted.UntrustedJson]:
    names = ("first_text", "second_text", "first_calls", "second_calls")
    return {name: untrusted.json_untrusted(getattr(changed, name)) for name in names}


def _share(count: int, of: int) -> str:
    return f"{count:,} of them" if not of else f"{count:,} ({count / of:.1%})"


def _now() -> datetime:
    return datetime.now(UTC)


def _day(at: datetime | None) -> date | None:
    return None if at is None else at.date()


def _say(place: Path, manifest: Mapping[str, Any]) -> None:
    until = f"until {manifest['expires']}" if manifest["expires"] else "without expiry"
    click.echo(
        untrusted.terminal(
            f"{place}: generation {manifest['generation']}, {manifest['conditions']:,} conditions, "
            f"{manifest['answers']:,} answers, {until}; digest {manifest['digest']}"
        )
    )


def _print(manifest: Mapping[str, Any]) -> None:
    run, pinned = manifest["run"], manifest["pinned"]
    asked = "whole design" if run["limit"] is None else f"the first {run['limit']:,} of the design"
    sampling = ", ".join(f"{name} {value}" for name, value in run["sampling"].items())
    rows = [
        ("generation", manifest["generation"]),
        ("pinned by", f"{pinned['by']} at {pinned['at']}"),
        ("why", pinned["why"]),
        ("expires", manifest["expires"] or "never"),
        *([("EXPIRED by", _signature(manifest["expired"]))] if manifest["expired"] else []),
        ("trusted model", f"{run['sides']['trusted']['path']} ({run['sides']['trusted']['architecture']})"),
        ("suite", f"{run['suite']['id']}@{run['suite']['version']}, {asked}"),
        ("sampling", sampling),
        ("conditions", f"{manifest['conditions']:,}, with {manifest['answers']:,} trusted answers"),
        ("serving", ", ".join(f"{name} {run['versions'].get(name, 'none')}" for name in ("vllm", "torch"))),
        ("run", f"{run['run_id']}, {run['created']}"),
        ("digest", manifest["digest"]),
        *((f"  {name}", value) for name, value in manifest["digests"].items()),
        ("needs the live model", "scores of answers that the trusted model did not give; NULL in a replay"),
    ]
    print_table(["", ""], rows)
    if manifest["history"]:
        print_table(
            ["former generation", "pinned by", "at", "why", "weights", "digest"],
            [
                [each["generation"], each["pinned"]["by"], each["pinned"]["at"], each["pinned"]["why"],
                 each["digests"]["weights"][:12], each["digest"][:12]]
                for each in manifest["history"]
            ],
        )  # fmt: skip


def _signature(signed: Mapping[str, str]) -> str:
    return f"{signed['by']} at {signed['at']}: {signed['why']}"
