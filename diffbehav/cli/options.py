"""Options and arguments that several commands share."""

from pathlib import Path

import click

quiet_option = click.option("--quiet", is_flag=True, help="No progress, only errors.")
FOLDER = click.Path(path_type=Path, file_okay=False)
TEXT_FILE = click.Path(path_type=Path, dir_okay=False)
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
