"""Options and arguments that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from diffbehav.suite import NamedModels

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


CONFIG = "Models file, in place of the options that name models; also says how each is served."
_MODELS = ("candidate", "candidate_adapter", "candidate_files", "trusted", "trusted_files")


def files_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The folders that belong to served models, and the file that can name all of it."""
    for side in ("trusted", "candidate"):
        command = click.option(f"--{side}-files", type=FOLDER, help=FILES.format(side=side))(command)
    return click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help=CONFIG)(command)


def sides_named(options: dict[str, Any]) -> dict[str, Any]:
    """Taken out of `options`: a folder for each side, its adapter, the endpoint of one that is served elsewhere, and
    the placement. They are those of the models file where one is named.

    UsageError for an address without its folder, a folder without its address, or models named in both ways.
    """
    config = options.pop("config")
    given = {name: options.pop(name) for name in _MODELS}
    if config is None:
        return {"candidate_adapter": given.pop("candidate_adapter"), **_places(given)}
    twice = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if twice:
        raise click.UsageError(f"--config names the models; leave out {', '.join(twice)}, or --config")
    from diffbehav.collect.models import placement_of
    from diffbehav.suite import load_models

    models = load_models(config)
    named = models.options()
    if isinstance(named["trusted"], Path):
        named["trusted"] = _trusted_in(models, named["trusted"])
    return {"candidate_adapter": named.pop("candidate_adapter"), **_places(named), "placement": placement_of(models)}


def _trusted_in(models: "NamedModels", place: Path) -> Path:
    """The folder that a models file names, or the baseline of that name."""
    found = place if place.is_dir() else baseline_folder(Path(models.file.trusted.model))
    if not found.is_dir():
        reason = f"there is no folder {place}, and no baseline of that name"
        raise models.refusal("trusted", "model", reason=reason, fix="name one; paths start from this file's folder")
    return found


def _places(options: dict[str, Any]) -> dict[str, Any]:
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
