"""Signs what a review is given."""

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from diffbehav.attest.dsse import parse_object, sealed
from diffbehav.attest.statement import ATTESTATION, PAYLOAD_TYPE, RESULTS, statement, subject_files, unlisted_files
from diffbehav.errors import InputError, IntegrityError
from diffbehav.report import SUMS, findings_json, read_sums, render_html
from diffbehav.store import RunFolder, read_settings, write_json


def sign(run: Path, *, report: Path, key: Ed25519PrivateKey) -> Path:
    """Write the attestation of a run into its folder `report`; returns the file.

    IntegrityError for an INVALID run, where the report is not that of the database, and where a file in its folder is
    not in SHA256SUMS.
    """
    folder = RunFolder(run)
    found = findings_json(run)
    if found["verdict"] not in RESULTS:
        raise IntegrityError(f"{run}: the verdict is {found['verdict']}; no attestation is issued of such a run")
    files = subject_files(folder, report)
    _check_report(files, found, run)
    if added := unlisted_files(folder, report, read_sums(report / SUMS), report / ATTESTATION):
        names = ", ".join(map(str, added))
        raise IntegrityError(f"{names}: not in {SUMS}; move it away, or write the report again with `diffbehav report`")
    payload = json.dumps(statement(read_settings(folder), found, files), sort_keys=True).encode("utf-8")
    write_json(report / ATTESTATION, sealed(payload, PAYLOAD_TYPE, key))
    return report / ATTESTATION


def _check_report(files: dict[str, Path], found: dict[str, object], run: Path) -> None:
    """report.json has the verdict and the rules of the database, and report.html is the page of report.json."""
    try:
        content = files["report.json"].read_bytes()
        page = files["report.html"].read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{error.filename} does not exist; `diffbehav report {run}` writes it") from error
    document = parse_object(content, files["report.json"])
    stale = f"not the report of {files['run.duckdb']}; write it again with `diffbehav report {run}`"
    try:
        said = (document["run"]["run_id"], document["verdict"]["code"], _rules(document["findings"]))
    except (KeyError, TypeError) as error:
        raise IntegrityError(f"{files['report.json']} is {stale}") from error
    if said != (found["run_id"], found["verdict"], _rules(found["findings"])):
        raise IntegrityError(f"{files['report.json']} is {stale}")
    if page != render_html(document):
        raise IntegrityError(f"{files['report.html']} is not the page of report.json; {stale}")


def _rules(findings: object) -> list[tuple[object, ...]]:
    assert isinstance(findings, list)
    return [tuple(each[name] for name in ("id", "fingerprint", "status", "severity", "score")) for each in findings]
