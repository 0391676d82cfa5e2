"""The in-toto statement about a run: subjects by sha256 and a test-result predicate."""

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffbehav.errors import InputError, IntegrityError
from diffbehav.report import SUMS
from diffbehav.report.sums import LISTED
from diffbehav.store import RunFolder

ATTESTATION = "attestation.intoto.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
RESULTS = {"NO_DIVERGENCE_FOUND": "PASSED", "INCONCLUSIVE": "WARNED", "DIVERGENT": "FAILED"}
"""Verdict -> result. INVALID has none: nothing is attested of such a run."""
_STATUSES = {"NOT CONFIRMED": "PASSED", "CONFIRMED": "FAILED"}


def subject_files(run: RunFolder, report: Path) -> dict[str, Path]:
    """Subject name -> the file that it is the digest of."""
    return {
        "report.html": report / "report.html",
        "report.json": report / "report.json",
        SUMS: report / SUMS,
        "run.duckdb": run.database,
        "run.json": run.settings,
    }


def statement(settings: Mapping[str, Any], found: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """The statement about a run with these settings (run.json) and findings (`findings_json`)."""
    tests = list(_tests(settings, found["findings"]))
    return {
        "_type": STATEMENT,
        "subject": [_resource(name, digest) for name, digest in _subjects(settings["sides"], files)],
        "predicateType": PREDICATE,
        "predicate": {
            "result": RESULTS[found["verdict"]],
            "configuration": list(_configuration(settings)),
            "passedTests": [name for name, result in tests if result == "PASSED"],
            "warnedTests": [name for name, result in tests if result == "WARNED"],
            "failedTests": [name for name, result in tests if result == "FAILED"],
        },
    }


def unlisted_files(run: RunFolder, report: Path, listed: Collection[str], attestation: Path) -> list[Path]:
    """Files in the folder of a report, at any depth, that neither a subject nor SHA256SUMS (`listed`) nor the
    attestation is: a reader would take them for a part of it.

    Where the run lies in that folder, too, those alone that have the name of a file of a report.
    """
    known = {os.path.abspath(report / name) for name in (*listed, *subject_files(run, report), ATTESTATION)}
    known.add(os.path.abspath(attestation))
    if run.path.resolve().is_relative_to(report.resolve()):
        found = [path for path in report.glob("*") if path.name.casefold() in LISTED]
    else:
        found = [path for path in report.rglob("*") if path.is_symlink() or not path.is_dir()]
    return sorted(path for path in found if os.path.abspath(path) not in known)


def sha256(path: Path) -> str:
    """Of the content of a file; InputError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error


def _subjects(sides: Mapping[str, Any], files: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    yield from ((name, sha256(path)) for name, path in files.items())
    for side in ("candidate", "trusted"):
        if "files" not in sides[side]:
            raise IntegrityError(f"run.json has no digests of the files of the {side} model; collect the run again")
        yield from ((f"{side}/{name}", digest) for name, digest in sorted(sides[side]["files"].items()))
    if "adapter_digest" in sides["candidate"]:
        yield "candidate-adapter", sides["candidate"]["adapter_digest"]


def _configuration(settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Suite and policy as they were resolved; the digest is that of their canonical JSON."""
    for name in ("suite", "policy"):
        described = settings.get(name)
        if described and settings.get(f"{name}_digest"):
            title = f"{name} {described.get('id')}@{described.get('version')}"
            yield _resource(title, settings[f"{name}_digest"])


def _tests(settings: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Name and result of every check of the run on itself and of every rule, by its fingerprint."""
    for side in ("candidate", "trusted"):
        if "endpoint" in settings["sides"][side]:
            yield f"check: weights of the {side} were seen", "WARNED"
    for check in settings.get("checks", ()):
        yield f"check: {check['name']}", "PASSED" if check["passed"] else "WARNED"
    for finding in findings:
        yield f"rule: {finding['fingerprint']}", _STATUSES.get(finding["status"], "WARNED")


def _resource(name: str, digest: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": digest}}
