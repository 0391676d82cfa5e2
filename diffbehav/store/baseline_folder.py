"""A pinned baseline on disk: the trusted side of a run, and one manifest that says what it is.

    <name>/baseline.json         the manifest
    <name>/generation-<n>/       conditions, answers and scores of the trusted side, in the format of a run folder

A promotion writes the next generation beside the present one and then replaces the manifest, so a reader always finds
a whole baseline. No database is needed to read one. A digest shows damage; that nobody rewrote manifest and digests
together shows only in a digest that was kept elsewhere.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from diffbehav.errors import InputError, IntegrityError
from diffbehav.records import digest
from diffbehav.store.run_folder import RunFolder, write_json

Manifest = Mapping[str, Any]
SCHEMA = "diffbehav.baseline/1"
_PACKAGE = Path(__file__).resolve().parent.parent


class BaselineFolder(NamedTuple):
    """Paths inside one baseline."""

    path: Path

    @property
    def manifest(self) -> Path:
        return self.path / "baseline.json"

    def generation(self, number: int) -> RunFolder:
        """The stored side of one generation; it holds no run.json."""
        return RunFolder(self.path / f"generation-{number}")


class Fault(NamedTuple):
    """One file of a baseline that is not what the manifest declares."""

    file: str
    """Relative to the baseline."""
    what: str


def shipped_baseline(name: str) -> Path | None:
    """The folder of the baseline `name` that comes with the package; None where there is none."""
    places = (_PACKAGE.parent / "baselines" / name, _PACKAGE / "_baselines" / name)
    return next((place for place in places if BaselineFolder(place).manifest.is_file()), None)


def write_manifest(folder: BaselineFolder, manifest: Manifest) -> Manifest:
    """Replace the manifest in one step; returned with the digest of its content."""
    content = {key: value for key, value in manifest.items() if key != "digest"}
    sealed = content | {"digest": digest(content)}
    write_json(folder.manifest, sealed)
    return sealed


def read_manifest(folder: BaselineFolder) -> dict[str, Any]:
    """The manifest; InputError where there is none, IntegrityError where it is not as it was written."""
    try:
        written = folder.manifest.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder.path} is no baseline: it has no baseline.json") from error
    try:
        manifest = json.loads(written)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _changed(folder, f"it is no JSON any more ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise _changed(folder, f"its schema is not {SCHEMA!r}")
    found = digest({key: value for key, value in manifest.items() if key != "digest"})
    if found != manifest.get("digest"):
        raise _changed(folder, f"its content has the digest {found}, and it declares {manifest.get('digest')!r}")
    if written != json.dumps(manifest, indent=1).encode():
        raise _changed(folder, "its bytes are not those that were written")
    return manifest


def present(folder: BaselineFolder, manifest: Manifest) -> RunFolder:
    """The stored side of the generation that the manifest declares."""
    return folder.generation(manifest["generation"])


def faults(folder: BaselineFolder, manifest: Manifest) -> list[Fault]:
    """Every stored file whose sha256 is not the declared one, that is missing, or that nobody declared."""
    declared: Mapping[str, str] = manifest["files"]
    found = file_digests(present(folder, manifest).path, folder.path)
    missing = [Fault(name, "is missing") for name in declared.keys() - found.keys()]
    added = [Fault(name, "is not in the manifest") for name in found.keys() - declared.keys()]
    changed = [
        Fault(name, f"has the digest {found[name]}, the manifest declares {declared[name]}")
        for name in declared.keys() & found.keys()
        if declared[name] != found[name]
    ]
    derived = digests(manifest["run"])
    changed += [
        Fault(folder.manifest.name, f"declares {name} {value}, its content has {derived.get(name)}")
        for name, value in manifest["digests"].items()
        if derived.get(name) != value
    ]
    return sorted(missing + added + changed)


def check_whole(folder: BaselineFolder, manifest: Manifest) -> None:
    """IntegrityError naming every file that is not what the manifest declares."""
    found = faults(folder, manifest)
    if found:
        raise IntegrityError(
            f"{folder.path} is not what was pinned:\n  "
            + "\n  ".join(f"{fault.file} {fault.what}" for fault in found[:12])
            + "\ntake it again from where it was pinned, or pin it anew"
        )


def digests(run: Mapping[str, Any]) -> dict[str, str]:
    """What decides the answers, a digest each, from the `run` of a manifest."""
    trusted = run["sides"]["trusted"]
    weights = {name: value for name, value in trusted["files"].items() if name.endswith(".safetensors")}
    return {
        "weights": trusted.get("weights", digest(weights)),
        "model": digest(trusted["files"]),
        "tokenizer": trusted["tokenizer"],
        "template": trusted["template"],
        "suite": run["suite_digest"],
        "engine": digest([run["engine"], run["versions"]]),
    }


def file_digests(folder: Path, below: Path) -> dict[str, str]:
    """Path relative to `below` -> sha256, for every file in `folder`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(below).as_posix(): _sha256(path) for path in paths}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _changed(folder: BaselineFolder, what: str) -> IntegrityError:
    return IntegrityError(
        f"{folder.manifest} was changed after it was written: {what}; take it again from where it was pinned, or pin "
        "it anew"
    )
