"""Options and arguments that several commands share."""

from pathlib import Path

import click

quiet_option = click.option("--quiet", is_flag=True, help="No progress, only errors.")
FOLDER = click.Path(path_type=Path, file_okay=False)
TEXT_FILE = click.Path(path_type=Path, dir_okay=False)
format_option = click.option(
    "--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True
)
sentinels_option = click.option(
    "--sentinels", type=FOLDER, multiple=True, metavar="EARLIER_RUN",
    help="Ask the confirmed rules of this earlier run first; may be repeated.",
)  # fmt: skip


def policy_file(policy: Path | None) -> Path | None:
    """A bare name is that of a shipped policy."""
    from diffbehav.suite import shipped_policy

    return shipped_policy(str(policy)) if policy is not None and not policy.suffix and not policy.exists() else policy


def suite_file(suite: Path) -> Path:
    """The file itself, or the shipped suite of that name."""
    from diffbehav.suite import shipped

    return suite if suite.suffix or suite.exists() else shipped(str(suite))


def baseline_folder(place: Path) -> Path:
    """The folder itself, or the baseline of that name in baselines/ or among the shipped ones."""
    from diffbehav.store import shipped_baseline

    if place.exists() or place.name != str(place):
        return place
    own = Path("baselines") / place
    return own if own.is_dir() else shipped_baseline(place.name) or place
