"""The checkpoints of a training run: which folders they are, and whether they can be compared."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from diffbehav.collect.models import read_side
from diffbehav.errors import DiffbehavError, InfrastructureError, InputError, IntegrityError
from diffbehav.intake import Model, check_adapter_fits, check_same_tokenizer, is_adapter, read_adapter, read_model
from diffbehav.serve import Endpoint

Place = Path | Endpoint
"""A folder, or a model that is served elsewhere."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """Why a checkpoint was not compared."""

    reason: str
    exit_code: int
    """20 where the machine failed, 21 where the checkpoint is at fault."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One model of the series."""

    name: str
    """Also that of its run folder."""
    path: Path
    model: Path
    """The folder that is served: the checkpoint itself, or the base of an adapter."""
    adapter: Path | None
    digest: str | None
    """Of the deciding files, of an adapter with those of its base; None where they could not be read."""
    same_as: str | None = None
    """An earlier checkpoint with the same files."""
    invalid: Invalid | None = None
    endpoint: Endpoint | None = None
    """What serves it elsewhere; `path` and `model` are then the folder of its tokenizer and configuration."""


def find_checkpoints(places: Sequence[Place]) -> list[Place]:
    """What was named, in the order given; the folders inside a single one by the numbers in their names.

    InputError for a folder that is missing or holds neither a model nor an adapter.
    """
    folders = [place for place in places if isinstance(place, Path)]
    for place in folders:
        if not place.is_dir():
            raise InputError(f"{place}: no such folder. Checkpoints are folders of models or adapters.")
    if len(places) == len(folders) == 1 and (inside := [each for each in folders[0].iterdir() if _is_checkpoint(each)]):
        return [*sorted(inside, key=lambda path: natural(path.name))]
    for place in folders:
        if not _is_checkpoint(place):
            raise InputError(f"{place}: neither a model (config.json) nor an adapter (adapter_config.json) lies there")
    return list(places)


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts checkpoint-900 before checkpoint-1000."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def described(
    places: Sequence[Place], *, base: Path, reference: Model, allow_template: bool, files: Path | None = None
) -> list[Checkpoint]:
    """The checkpoints at `places`, all of them checked before any is asked; those with equal files are marked.

    One that cannot be read, or not be compared token by token with the trusted model, `reference`, is marked invalid;
    IntegrityError where all are. `files`: folder of those that are served elsewhere.
    """
    if len(places) < 2:
        raise InputError(f"{places[0]}: one checkpoint is no series; name at least two, or use `diffbehav run`")
    if any(isinstance(place, Path) and is_adapter(place) for place in places):
        read_model(base)
    first: dict[str, str] = {}
    found = []
    for place, name in zip(places, _names(places), strict=True):
        if isinstance(place, Path):
            each = _described(place, name, reference, base=base, allow_template=allow_template)
        else:
            each = _served(place, name, reference, files=files, allow_template=allow_template)
        digest = each.digest
        same = None if digest is None else first.setdefault(digest, name)
        found.append(each if same == name else replace(each, same_as=same))
    check_any_valid(found)
    return found


def check_any_valid(series: Sequence[Checkpoint]) -> None:
    """IntegrityError with every reason where no checkpoint can be compared."""
    if all(each.invalid is not None for each in series):
        reasons = [f"{each.name}: {each.invalid.reason}" for each in series if each.invalid is not None]
        raise IntegrityError("no checkpoint can be compared:\n  " + "\n  ".join(reasons))


def _described(place: Path, name: str, reference: Model, *, base: Path, allow_template: bool) -> Checkpoint:
    try:
        each = _checkpoint(place, name, base=base)
        model = read_model(each.model)
        check_same_tokenizer(model, reference, allow_template=allow_template)
        if each.adapter is not None:
            check_adapter_fits(read_adapter(each.adapter), model)
    except (InputError, IntegrityError) as error:
        adapter = place if is_adapter(place) else None
        return Checkpoint(name, place, place if adapter is None else base, adapter, None, invalid=invalid_by(error))
    return each


def _served(
    endpoint: Endpoint, name: str, reference: Model, *, files: Path | None, allow_template: bool
) -> Checkpoint:
    if files is None:
        raise InputError(
            f"{endpoint.address} is served elsewhere: name with --candidate-files the folder of its tokenizer, chat "
            "template and configuration, which decide the tokens that are sent"
        )
    blank = Checkpoint(name, files, files, None, None, endpoint=endpoint)
    try:
        model = read_side(files, endpoint).model
        check_same_tokenizer(model, reference, allow_template=allow_template)
    except DiffbehavError as error:
        return replace(blank, invalid=invalid_by(error))
    return replace(blank, digest=model.digest)


def invalid_by(error: DiffbehavError) -> Invalid:
    """What an error says of the checkpoint that it ended."""
    code = error.exit_code if isinstance(error, InfrastructureError) else IntegrityError.exit_code
    return Invalid(str(error), code)


def _is_checkpoint(folder: Path) -> bool:
    return (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file()


def _names(places: Sequence[Place]) -> list[str]:
    """Names of the folders, or of what servers serve; where two folders' are equal, with their parents' before them."""
    short = [
        place.resolve().name if isinstance(place, Path) else re.sub(r"[^A-Za-z0-9._-]", "-", place.model)
        for place in places
    ]
    twice = Counter(short)
    whole = [
        f"{place.resolve().parent.name}-{name}" if twice[name] > 1 and isinstance(place, Path) else name
        for place, name in zip(places, short, strict=True)
    ]
    again = [name for name, count in Counter(whole).items() if count > 1]
    if again:
        raise InputError(f"two checkpoints would both be called {again[0]!r}; name each folder once, or rename one")
    return whole


def _checkpoint(place: Path, name: str, *, base: Path) -> Checkpoint:
    if not is_adapter(place):
        return Checkpoint(name, place, place, None, read_model(place).digest)
    digest = f"{read_model(base).digest}+{read_adapter(place).digest}"
    return Checkpoint(name, place, base, place, digest)
