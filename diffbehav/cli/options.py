"""Options and arguments that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

quiet_option = click.option("--quiet", is_flag=True, help="No progress, only errors.")
FOLDER = click.Path(path_type=Path, file_okay=False)
FILES = "Where the {side} model is served elsewhere: folder with tokenizer, template and configuration."


class _Model(click.Path):
    """A folder, or the address of a served model, which stays a string."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from diffbehav.serve import is_address

        return value if isinstance(value, str) and is_address(value) else super().convert(value, param, ctx)


MODEL = _Model(path_type=Path, file_okay=False)
MODEL.name = "folder or url"


def files_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The folders that belong to served models."""
    for side in ("trusted", "candidate"):
        command = click.option(f"--{side}-files", type=FOLDER, help=FILES.format(side=side))(command)
    return command


def sides_named(options: dict[str, Any]) -> dict[str, Any]:
    """Taken out of `options`: a folder for each side, and the endpoint of one that is served elsewhere.

    UsageError for an address without its folder, or a folder without its address.
    """
    from diffbehav.serve import endpoint_of

    found: dict[str, Any] = {}
    for side in ("candidate", "trusted"):
        place, files = options.pop(side), options.pop(f"{side}_files")
        if isinstance(place, str):
            endpoint = endpoint_of(place, "candidate" if side == "candidate" else "trusted")
            if files is None:
                raise click.UsageError(
                    f"--{side} is served elsewhere: name with --{side}-files the folder of its tokenizer, chat "
                    "template and configuration, which decide the tokens that are sent"
                )
            found |= {side: files, f"{side}_endpoint": endpoint}
        elif files is not None:
            raise click.UsageError(f"--{side}-files belongs to an address; --{side} {place} is a folder of its own")
        else:
            found[side] = place
    return found


TEXT_FILE = click.Path(path_type=Path, dir_okay=False)
format_option = click.option(
    "--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True
)
sentinels_option = click.option(
    "--sentinels", type=FOLDER, multiple=True, metavar="EARLIER_RUN",
    help="Ask the confirmed rules of this earlier run first; may be repeated.",
)  # fmt: skip

wide_option = click.option(
    "--wide", type=click.IntRange(0), default=0, show_default=True, metavar="CONTEXTS",
    help="Score stored trusted answers in so many further contexts first.",
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
