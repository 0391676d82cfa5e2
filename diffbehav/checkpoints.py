"""The checkpoints of a training run: which folders they are, and whether they can be compared."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from diffbehav.errors import InputError
from diffbehav.intake import check_adapter_fits, check_same_tokenizer, is_adapter, read_adapter, read_model


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One model of the series."""

    name: str
    """Also that of its run folder."""
    path: Path
    model: Path
    """The folder that is served: the checkpoint itself, or the base of an adapter."""
    adapter: Path | None
    digest: str
    """Of the deciding files; of an adapter with those of its base."""
    same_as: str | None = None
    """An earlier checkpoint with the same files."""


def find_checkpoints(places: Sequence[Path]) -> list[Path]:
    """The folders themselves in the order given; those inside a single one by the numbers in their names.

    InputError for a folder that is missing or holds neither a model nor an adapter.
    """
    for place in places:
        if not place.is_dir():
            raise InputError(f"{place}: no such folder. Checkpoints are folders of models or adapters.")
    if len(places) == 1 and (inside := [each for each in places[0].iterdir() if _is_checkpoint(each)]):
        return sorted(inside, key=lambda path: natural(path.name))
    for place in places:
        if not _is_checkpoint(place):
            raise InputError(f"{place}: neither a model (config.json) nor an adapter (adapter_config.json) lies there")
    return list(places)


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts checkpoint-900 before checkpoint-1000."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def described(places: Sequence[Path], *, base: Path, trusted: Path, allow_template: bool) -> list[Checkpoint]:
    """The checkpoints at `places`, all of them checked before any is asked; those with equal files are marked.

    IntegrityError where one cannot be compared with the trusted model token by token.
    """
    if len(places) < 2:
        raise InputError(f"{places[0]}: one checkpoint is no series; name at least two, or use `diffbehav run`")
    reference = read_model(trusted)
    first: dict[str, str] = {}
    found = []
    for place, name in zip(places, _names(places), strict=True):
        each = _checkpoint(place, name, base=base)
        model = read_model(each.model)
        check_same_tokenizer(model, reference, allow_template=allow_template)
        if each.adapter is not None:
            check_adapter_fits(read_adapter(each.adapter), model)
        found.append(replace(each, same_as=first.get(each.digest)))
        first.setdefault(each.digest, name)
    return found


def _is_checkpoint(folder: Path) -> bool:
    return (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file()


def _names(places: Sequence[Path]) -> list[str]:
    """Names of the folders; where two are equal, those of their parents before them."""
    short = [place.resolve().name for place in places]
    twice = Counter(short)
    whole = [
        name if twice[name] == 1 else f"{place.resolve().parent.name}-{name}"
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
