"""From a finished run to a pinned baseline: pinned once, promoted to further generations, expired."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from diffbehav.errors import InputError, IntegrityError
from diffbehav.records import model_name
from diffbehav.store.baseline_folder import (
    SCHEMA,
    BaselineFolder,
    Manifest,
    digests,
    file_digests,
    present,
    read_manifest,
    write_manifest,
)
from diffbehav.store.database import open_untrusted
from diffbehav.store.parts import disk_error, part_path, read_parquet
from diffbehav.store.run_folder import RunFolder, read_settings

_SETTINGS = (
    "run_id", "created", "version", "suite", "suite_digest", "sampling", "limit", "top_k", "block", "tool_format",
    "engine", "numeric_floor", "checks",
)  # fmt: skip
"""The keys of run.json that a baseline keeps: none of them names a machine or a place on it."""


@dataclass(frozen=True, slots=True)
class Signed:
    """Who did something to a baseline, why, and when."""

    by: str
    why: str
    at: datetime

    def __post_init__(self) -> None:
        for name in ("by", "why"):
            if not getattr(self, name).strip():
                raise InputError(f"--{name} is empty; a baseline says who pinned it and why")

    def as_json(self) -> dict[str, str]:
        """With the time in UTC."""
        at = self.at.astimezone(UTC).isoformat(timespec="seconds")
        return {"by": self.by, "why": self.why, "at": at}


def pin(run: RunFolder, folder: BaselineFolder, *, signed: Signed, expires: date | None) -> Manifest:
    """Make the trusted side of a finished run a baseline in a folder that does not exist yet.

    It appears whole or not at all. From the day `expires` on (UTC) it is refused.
    """
    _check_name(folder)
    if folder.path.exists():
        raise InputError(
            f"{folder.path} exists; `diffbehav baseline promote` gives it a new generation and keeps its history"
        )
    temporary = BaselineFolder(folder.path.with_name(f".{folder.path.name}.tmp"))
    try:
        shutil.rmtree(temporary.path, ignore_errors=True)
        manifest = _generation(run, temporary, 1, signed=signed, expires=expires, history=[])
        temporary.path.rename(folder.path)
    except OSError as error:
        raise disk_error(error, folder.path) from error
    finally:
        shutil.rmtree(temporary.path, ignore_errors=True)
    return manifest


def promote(run: RunFolder, folder: BaselineFolder, *, signed: Signed, expires: date | None) -> Manifest:
    """Replace a baseline by a new generation from a finished run; the former ones stay in `history`."""
    old = read_manifest(folder)
    history = [*old["history"], _remembered(old)]
    try:
        _drop_undeclared(folder, old)
        return _generation(run, folder, old["generation"] + 1, signed=signed, expires=expires, history=history)
    except OSError as error:
        raise disk_error(error, folder.path) from error
    finally:
        _drop_undeclared(folder, read_manifest(folder))


def expire(folder: BaselineFolder, *, signed: Signed) -> Manifest:
    """Mark a baseline so that it is refused from now on; InputError where it is marked already."""
    manifest = read_manifest(folder)
    if manifest["expired"] is not None:
        raise InputError(f"{folder.path} was expired already, at {manifest['expired']['at']}")
    return write_manifest(folder, manifest | {"expired": signed.as_json()})


def _generation(
    run: RunFolder, folder: BaselineFolder, number: int, *, signed: Signed, expires: date | None,
    history: list[Mapping[str, Any]],
) -> Manifest:  # fmt: skip
    settings, found = _pinnable(run)
    if expires is not None and expires <= signed.at.astimezone(UTC).date():
        raise InputError(f"--expires {expires} is not after today (UTC); name a later date")
    conditions, answers = _complete(run, settings)
    stored = folder.generation(number)
    for source in _files(run, settings, conditions):
        _copy(source, stored.path / source.relative_to(run.path))
    kept = _kept(settings)
    return write_manifest(
        folder,
        {
            "schema": SCHEMA,
            "generation": number,
            "pinned": signed.as_json(),
            "expires": None if expires is None else expires.isoformat(),
            "expired": None,
            "digests": digests(kept),
            "conditions": conditions,
            "answers": answers,
            "run": kept,
            "found": found,
            "files": file_digests(stored.path, folder.path),
            "history": history,
        },
    )


def _pinnable(run: RunFolder) -> tuple[dict[str, Any], dict[str, Any]]:
    """run.json of a run whose trusted side can be pinned, and what was found in it: its candidate and its findings.

    InputError or IntegrityError that says why where it cannot be pinned.
    """
    settings = read_settings(run)
    if "replayed" in settings["sides"]["trusted"]:
        raise InputError(f"{run.path}: its trusted answers were replayed; pin a run that asked the live trusted model")
    if "pruned" in settings:
        raise InputError(f"{run.path} was pruned: most of its alternatives are gone; pin a run before it is pruned")
    if "collected" not in settings:
        raise InputError(f"{run.path} is not finished; repeat its run command, see run.json, and pin it then")
    with open_untrusted(run.database) as connection:
        row = connection.execute("SELECT value FROM run WHERE key = 'verdict'").fetchone()
        findings = connection.execute(
            "SELECT rule, fingerprint, status, severity FROM findings WHERE status <> 'NOT CONFIRMED' ORDER BY rank"
        ).fetchall()
    if row is None or json.loads(row[0]) == "INVALID":
        raise IntegrityError(f"{run.path}: its verdict is INVALID; a baseline is made from a valid run")
    found = [
        {"rule": json.loads(rule), "fingerprint": name, "status": status, "severity": severity}
        for rule, name, status, severity in findings
    ]
    return settings, {"candidate": model_name(settings["sides"]["candidate"]), "findings": found}


def _complete(run: RunFolder, settings: Mapping[str, Any]) -> tuple[int, int]:
    """How many conditions and trusted answers; IntegrityError unless every condition has its answers."""
    conditions = read_parquet(run.conditions, columns=["condition_id"]).height
    answers = 0
    for path in _files(run, settings, conditions):
        turns = read_parquet(path, columns=["condition_id" if path == run.conditions else "turn"])
        answers += turns.filter(turn=0).height if path.parent == run.completions("trusted") else 0
    wanted = conditions * settings["sampling"]["n"]
    if answers != wanted:
        raise IntegrityError(f"{run.path} holds {answers:,} of {wanted:,} trusted answers; collect it again")
    return conditions, answers


def _files(run: RunFolder, settings: Mapping[str, Any], conditions: int) -> Iterator[Path]:
    yield run.conditions
    for number in range(-(-conditions // settings["block"])):
        for folder in (run.completions("trusted"), run.completions("replicate"), run.scores("trusted", "trusted")):
            yield part_path(folder, number)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing)
        writing.flush()
        os.fsync(writing.fileno())


def _kept(settings: Mapping[str, Any]) -> dict[str, Any]:
    trusted = settings["sides"]["trusted"]
    return {
        **{key: settings[key] for key in _SETTINGS},
        "versions": {name: version for name, version in settings["versions"].items() if name != "platform"},
        "sides": {"trusted": trusted | {"path": Path(trusted["path"]).name}},
        "texts": {"trusted": settings["texts"]["trusted"]},
    }


def _remembered(manifest: Manifest) -> dict[str, Any]:
    """What a manifest keeps of a former generation."""
    keys = ("generation", "digest", "pinned", "expires", "expired", "digests", "conditions", "answers")
    return {key: manifest[key] for key in keys} | {"run_id": manifest["run"]["run_id"]}


def _drop_undeclared(folder: BaselineFolder, manifest: Manifest) -> None:
    """Remove what an interrupted promotion, or the one just done, left of other generations."""
    for path in folder.path.glob("generation-*"):
        if path != present(folder, manifest).path:
            shutil.rmtree(path, ignore_errors=True)


def _check_name(folder: BaselineFolder) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", folder.path.name):
        raise InputError(f"{folder.path.name!r} cannot name a baseline; use letters, digits, `_`, `.` and `-`")
