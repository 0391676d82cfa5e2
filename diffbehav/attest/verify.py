"""Verifies an attestation: first its signature, then every digest that it names."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from diffbehav.attest.dsse import authenticated, parse_object, read_envelope
from diffbehav.attest.statement import (
    PAYLOAD_TYPE,
    PREDICATE,
    RESULTS,
    STATEMENT,
    sha256,
    subject_files,
    unlisted_files,
)
from diffbehav.errors import IntegrityError
from diffbehav.intake import deciding_files
from diffbehav.records import digest
from diffbehav.report import SUMS, read_sums
from diffbehav.store import RunFolder

ADAPTER = "candidate-adapter"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Models(NamedTuple):
    """Folders whose files are hashed; None for one that is not at hand."""

    candidate: Path | None
    trusted: Path | None
    adapter: Path | None


class Verified(NamedTuple):
    """What a signed statement says, after all of it was checked."""

    result: str
    """PASSED, WARNED or FAILED: of the comparison, not of this check."""
    verdict: str
    """That of the run, from which the result follows."""
    files: int
    """Files whose digest was computed again."""
    unread: tuple[str, ...]
    """What was attested and not read, because its folder was not named: `candidate`, `trusted`, `candidate-adapter`."""


def verify(
    run: Path, *, attestation: Path, report: Path, key: Ed25519PublicKey, candidate: Path | None = None,
    trusted: Path | None = None, adapter: Path | None = None,
) -> Verified:  # fmt: skip
    """Check an attestation of a run; IntegrityError naming every file that is not one that was signed."""
    envelope = read_envelope(attestation)
    payload = authenticated(envelope, key, attestation)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise IntegrityError(f"{attestation}: signed, but its payload type is not {PAYLOAD_TYPE}")
    result, subjects = _read(parse_object(payload, attestation), attestation)
    models = Models(candidate, trusted, adapter)
    files = subject_files(RunFolder(run), report)
    listed = read_sums(report / SUMS) if (report / SUMS).is_file() else {}
    beside = {name: report / name for name in listed.keys() - files.keys()}
    faults = [*_unknown(subjects, files), *_changed_files(subjects, files), *_changed_files(listed, beside)]
    added = unlisted_files(RunFolder(run), report, listed, attestation)
    faults += [f"{path} is not among what was signed" for path in added]
    faults += _changed_models(subjects, models)
    if faults:
        raise IntegrityError(f"{run} is not what was signed in {attestation}:\n  " + "\n  ".join(faults))
    held = {name.partition("/")[0] for name in subjects.keys() - files.keys()}
    folders = {"candidate": candidate, "trusted": trusted, ADAPTER: adapter}
    unread = tuple(name for name, folder in folders.items() if name in held and folder is None)
    verdict = next(verdict for verdict, each in RESULTS.items() if each == result)
    read = sum(name.partition("/")[0] not in unread for name in subjects)
    return Verified(result, verdict, read + len(beside), unread)


def _read(statement: Mapping[str, Any], place: Path) -> tuple[str, dict[str, str]]:
    """The result, and subject name -> sha256."""
    if statement.get("_type") != STATEMENT or statement.get("predicateType") != PREDICATE:
        raise IntegrityError(f"{place}: signed, but no in-toto statement with a test result of version 0.1")
    predicate, subject = statement.get("predicate"), statement.get("subject")
    result = predicate.get("result") if isinstance(predicate, Mapping) else None
    if not isinstance(result, str) or result not in RESULTS.values():
        raise IntegrityError(f"{place}: signed, but its result is none of {', '.join(RESULTS.values())}")
    rows = [_subject(each) for each in subject] if isinstance(subject, list) else []
    subjects = dict(row for row in rows if row is not None)
    if not rows or len(subjects) != len(rows):
        raise IntegrityError(f"{place}: signed, but a subject has no name of its own or no sha256")
    return result, subjects


def _subject(each: Any) -> tuple[str, str] | None:
    if not isinstance(each, Mapping) or not isinstance(each.get("digest"), Mapping):
        return None
    name, digest = each.get("name"), each["digest"].get("sha256")
    if isinstance(name, str) and isinstance(digest, str) and _SHA256.fullmatch(digest):
        return name, digest
    return None


def _unknown(subjects: Mapping[str, str], files: Mapping[str, Path]) -> Iterator[str]:
    """A statement that leaves out a file or a model would pass whatever happened to it."""
    yield from (f"{name} is not among what was signed" for name in files if name not in subjects)
    for side in ("candidate", "trusted"):
        if not any(name.startswith(f"{side}/") for name in subjects):
            yield f"no file of the {side} model is among what was signed"
    for name in subjects.keys() - files.keys():
        if not name.startswith(("candidate/", "trusted/")) and name != ADAPTER:
            yield f"{name!r} was signed and is nothing that a run has"


def _changed_files(subjects: Mapping[str, str], files: Mapping[str, Path]) -> Iterator[str]:
    for name, path in files.items():
        if name not in subjects:
            continue
        if not path.is_file():
            yield f"{path} is missing"
        elif (found := sha256(path)) != subjects[name]:
            yield f"{path} has the sha256 {found}, signed was {subjects[name]}"


def _changed_models(subjects: Mapping[str, str], models: Models) -> Iterator[str]:
    for side, folder in (("candidate", models.candidate), ("trusted", models.trusted)):
        if folder is not None:
            signed = {n.removeprefix(f"{side}/"): sha for n, sha in subjects.items() if n.startswith(f"{side}/")}
            yield from _changed_folder(signed, folder)
    if models.adapter is not None:
        if ADAPTER not in subjects:
            yield f"{models.adapter}: the candidate that was signed has no adapter"
        elif (found := digest(deciding_files(models.adapter))) != subjects[ADAPTER]:
            yield f"{models.adapter} has the digest {found}, signed was {subjects[ADAPTER]}"


def _changed_folder(signed: Mapping[str, str], folder: Path) -> Iterator[str]:
    found = deciding_files(folder)
    for name in sorted(signed.keys() | found.keys()):
        path = folder / name
        if name not in found:
            yield f"{path} is missing"
        elif name not in signed:
            yield f"{path} was not there when it was signed"
        elif found[name] != signed[name]:
            yield f"{path} has the sha256 {found[name]}, signed was {signed[name]}"
