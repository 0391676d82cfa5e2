"""Every file of a model folder, and which of them are refused before anything is loaded."""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from diffbehav.errors import InputError, IntegrityError
from diffbehav.intake.json_file import read_json
from diffbehav.intake.manifest import LEADS_AWAY, sha256_of
from diffbehav.intake.pickles import is_compressed, is_pickle, scan_pickle
from diffbehav.intake.safetensors_header import read_header
from diffbehav.intake.weight_files import CONSOLIDATED, CONSOLIDATED_WHY

_CODE = (".py", ".pyc", ".pyd", ".pyx", ".so", ".dll", ".dylib", ".ipynb")
_REFUSED_KEYS = {
    **LEADS_AWAY,
    "trust_remote_code": "asks to run Python code that came with the model",
    "custom_pipelines": "asks to run Python code that came with the model",
}
_NAMED = 5


class File(NamedTuple):
    """One file by its path inside the folder."""

    name: str
    bytes: int
    sha256: str


class Refusal(NamedTuple):
    """Something in a folder that is not to be loaded."""

    name: str
    why: str
    dangerous: bool = False
    """Loading it would run code that no model needs."""


def read_files(folder: Path) -> list[File]:
    """Every regular file below a folder, by name; links to files are read, links to folders are not followed."""
    found = [path for path in _paths(folder) if path.is_file()]
    return [File(_name(folder, path), path.stat().st_size, sha256_of(path)) for path in found]


def refusals(folder: Path, *, allow: Collection[str] = ()) -> list[Refusal]:
    """What is refused: pickles, code, configuration that asks for code or leads away, what is no regular file.

    A file named in `allow` passes, unless it is a pickle with a dangerous import. InputError where no such file is.
    """
    paths = list(_paths(folder))
    unknown = sorted(set(allow) - {_name(folder, path) for path in paths})
    if unknown:
        raise InputError(f"{folder}: there is no file {unknown[0]!r} that could be allowed.")
    return [each for path in paths for each in _refused(folder, path, _name(folder, path) in allow)]


def beside_model(folder: Path) -> list[str]:
    """Names of what is refused in a folder although no engine loads it; IntegrityError where one is dangerous.

    Training leaves pickles beside its checkpoints, and many models come with a pickle of their weights or with code.
    """
    found = refusals(folder)
    for each in found:
        if each.dangerous:
            raise IntegrityError(f"{folder / each.name}: {each.why}. Remove it, and ask where the folder comes from.")
    return [each.name for each in found]


def _paths(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        linked = [name for name in folders if (Path(place) / name).is_symlink()]
        yield from (Path(place) / name for name in sorted([*files, *linked]))


def _refused(folder: Path, path: Path, allowed: bool) -> Iterator[Refusal]:
    name = _name(folder, path)
    if not path.is_file():
        kind = "a link to a folder or to nothing" if path.is_symlink() else "no regular file"
        yield Refusal(name, f"{kind}, which is not read")
    elif path.suffix.lower() in _CODE:
        if not allowed:
            yield Refusal(name, "code that came with the model; convert it to an architecture that vLLM has built in")
    elif path.parent == folder and path.match(CONSOLIDATED):
        if not allowed:
            yield Refusal(name, CONSOLIDATED_WHY)
    elif path.suffix.lower() == ".safetensors":
        yield from _refused_weights(name, path, allowed)
    elif is_pickle(path):
        yield from _refused_pickle(name, path, allowed)
    elif path.suffix == ".json" and path.parent == folder and path.name != "tokenizer.json":
        yield from _refused_keys(name, path)


def _refused_weights(name: str, path: Path, allowed: bool) -> Iterator[Refusal]:
    try:
        read_header(path)
    except InputError as error:
        if is_pickle(path):
            yield from _refused_pickle(name, path, allowed)
        else:
            yield Refusal(name, str(error))


def _refused_pickle(name: str, path: Path, allowed: bool) -> Iterator[Refusal]:
    scan = scan_pickle(path)
    if scan.dangerous:
        yield Refusal(name, f"a pickle that imports {_some(scan.dangerous)}; loading it runs code", dangerous=True)
    elif not allowed:
        said = "no dangerous import found"
        if scan.unknown:
            said = f"imports that picklescan does not know: {_some(scan.unknown)}"
        if is_compressed(path):
            said = "compressed, so its imports are not seen"
        elif scan.reason:
            said = f"not scanned to its end ({scan.reason})"
        yield Refusal(name, f"a pickle or archive, {said}; convert it to safetensors in a sandbox, or remove it")


def _refused_keys(name: str, path: Path) -> Iterator[Refusal]:
    try:
        config = read_json(path)
    except InputError as error:
        yield Refusal(name, str(error))
        return
    for key, why in _REFUSED_KEYS.items():
        if config.get(key):
            yield Refusal(name, f"{key} {why}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
