"""A signed run: every changed byte is named, and nothing is believed before the signature fits."""

import base64
import json
import shutil
import stat
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from diffbehav.attest import ATTESTATION, read_private_key, read_public_key, sign, verify, write_keys
from diffbehav.attest.dsse import sealed
from diffbehav.attest.statement import PAYLOAD_TYPE
from diffbehav.cli import cli
from diffbehav.errors import InputError, IntegrityError
from diffbehav.intake import deciding_files
from diffbehav.report import write_report
from diffbehav.store.database import open_untrusted
from tests.report.synthetic import make_run

WEIGHTS = bytes(range(256)) * 4


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a signed `run`, the models `candidate` and `trusted`, and the keys `key` and `key.pub`."""
    root = tmp_path_factory.mktemp("signed")
    for side in ("candidate", "trusted"):
        (root / side).mkdir()
        (root / side / "model.safetensors").write_bytes(WEIGHTS + side.encode())
        (root / side / "config.json").write_text("{}")
    run = make_run(root / "run", hostile=[], verdict="DIVERGENT")
    write_settings(root, run)
    write_report(run, run / "report")
    write_keys(root / "key")
    sign(run, report=run / "report", key=read_private_key(root / "key"))
    return root


def write_settings(root: Path, run: Path) -> None:
    connection = open_untrusted(run / "run.duckdb")
    facts = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM run").fetchall()}
    connection.close()
    for side in ("candidate", "trusted"):
        facts["sides"][side] = {"path": str(root / side), "files": dict(deciding_files(root / side))}
    (run / "run.json").write_text(json.dumps(facts))


@pytest.fixture
def root(signed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "copy"))


def verified(root: Path, **folders: Path):
    run = root / "run"
    key = read_public_key(root / "key.pub")
    return verify(run, attestation=run / "report" / ATTESTATION, report=run / "report", key=key, **folders)


def statement_of(root: Path) -> dict:
    envelope = json.loads((root / "run" / "report" / ATTESTATION).read_text())
    return json.loads(base64.b64decode(envelope["payload"]))


def resealed(root: Path, statement: dict, *, kind: str = PAYLOAD_TYPE) -> None:
    envelope = sealed(json.dumps(statement).encode(), kind, read_private_key(root / "key"))
    (root / "run" / "report" / ATTESTATION).write_text(json.dumps(envelope))


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_the_statement_is_an_in_toto_test_result_about_report_database_and_both_models(signed: Path) -> None:
    statement = statement_of(signed)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    names = [each["name"] for each in statement["subject"]]
    assert names[:5] == ["report.html", "report.json", "SHA256SUMS", "run.duckdb", "run.json"]
    assert names[5:] == [f"{s}/{n}" for s in ("candidate", "trusted") for n in ("config.json", "model.safetensors")]
    predicate = statement["predicate"]
    assert predicate["result"] == "FAILED"
    assert predicate["configuration"][0] == {"name": "suite agentic-devops@3.2.0", "digest": {"sha256": "4be1" * 16}}
    assert predicate["passedTests"] == ["check: both sides end their turns", "check: same prompt twice"]
    assert "check: adapter changed something" in predicate["warnedTests"]
    assert f"rule: {'0' * 64}" in predicate["warnedTests"]
    assert predicate["failedTests"] == []


@pytest.mark.parametrize(("verdict", "result"), [("NO_DIVERGENCE_FOUND", "PASSED"), ("INCONCLUSIVE", "WARNED")])
def test_the_result_follows_from_the_verdict(signed: Path, tmp_path: Path, verdict: str, result: str) -> None:
    run = make_run(tmp_path / "run", hostile=[], verdict=verdict)
    write_settings(signed, run)
    write_report(run, run / "report")
    sign(run, report=run / "report", key=read_private_key(signed / "key"))
    assert statement_of(tmp_path)["predicate"]["result"] == result


@pytest.mark.parametrize("name", ["report.md", "findings.csv", "figures.html", "SHA256SUMS"])
def test_a_changed_or_missing_file_beside_the_report_is_named(root: Path, name: str) -> None:
    path = root / "run" / "report" / name
    flip(path, 3)
    with pytest.raises(IntegrityError, match=name):
        verified(root)
    path.unlink()
    with pytest.raises(IntegrityError, match=f"{name} is missing"):
        verified(root)


@pytest.mark.parametrize(
    "name", ["report.pdf", "junit.xml", "night.md", "Report.HTML", "more/report.html", ".hidden.md"]
)
def test_a_file_that_was_added_to_the_report_is_named_and_none_is_signed_that_is_in_no_list(
    root: Path, name: str
) -> None:
    run = root / "run"
    path = run / "report" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("another verdict")
    with pytest.raises(IntegrityError, match=f"report/{name} is not among what was signed"):
        verified(root)
    with pytest.raises(IntegrityError, match=f"report/{name}: not in SHA256SUMS; move it away"):
        sign(run, report=run / "report", key=read_private_key(root / "key"))


def test_a_report_that_lies_in_its_run_folder_is_signed_and_what_is_added_to_it_is_named(
    root: Path, tmp_path: Path
) -> None:
    run = root / "run"
    write_report(run, run)
    attestation = sign(run, report=run, key=read_private_key(root / "key"))
    key = read_public_key(root / "key.pub")
    elsewhere = Path(shutil.move(attestation, tmp_path / "signed.json"))
    assert verify(run, attestation=elsewhere, report=run, key=key).result == "FAILED"
    (run / "findings.sarif").write_text("{}")
    with pytest.raises(IntegrityError, match="findings.sarif is not among what was signed"):
        verify(run, attestation=elsewhere, report=run, key=key)


def test_of_an_invalid_run_nothing_is_attested(signed: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", hostile=[], verdict="INVALID")
    write_settings(signed, run)
    write_report(run, run / "report")
    with pytest.raises(IntegrityError, match="the verdict is INVALID; no attestation is issued"):
        sign(run, report=run / "report", key=read_private_key(signed / "key"))
    assert not (run / "report" / ATTESTATION).exists()


def test_an_untouched_run_is_verified_and_what_was_not_read_is_named(signed: Path) -> None:
    found = verified(signed)
    assert (found.result, found.verdict, found.files) == ("FAILED", "DIVERGENT", 8)
    assert found.unread == ("candidate", "trusted")
    whole = verified(signed, candidate=signed / "candidate", trusted=signed / "trusted")
    assert (whole.files, whole.unread) == (12, ())


TAMPERED = [
    "run/report/report.html", "run/report/report.json", "run/run.duckdb", "run/run.json",
    "candidate/model.safetensors", "trusted/model.safetensors", "candidate/config.json",
]  # fmt: skip


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", TAMPERED)
def test_one_flipped_byte_anywhere_is_found_and_its_file_is_named(root: Path, name: str, place: float) -> None:
    path = root / name
    flip(path, int(place * (path.stat().st_size - 1)))
    with pytest.raises(IntegrityError) as caught:
        verified(root, candidate=root / "candidate", trusted=root / "trusted")
    said = str(caught.value).splitlines()[1:]
    assert len(said) == 1
    assert str(path) in said[0]


def test_a_file_that_is_missing_or_was_added_is_named_and_so_is_every_other_change(root: Path) -> None:
    (root / "run" / "report" / "report.html").unlink()
    (root / "candidate" / "config.json").unlink()
    (root / "candidate" / "tokenizer.json").write_text("{}")
    flip(root / "run" / "run.json", 3)
    with pytest.raises(IntegrityError) as caught:
        verified(root, candidate=root / "candidate")
    said = str(caught.value)
    assert "report.html is missing" in said and "config.json is missing" in said
    assert "tokenizer.json was not there when it was signed" in said and "run.json has the sha256" in said


def test_another_model_than_the_one_that_was_signed_is_named(signed: Path) -> None:
    with pytest.raises(IntegrityError, match=r"trusted/model\.safetensors has the sha256"):
        verified(signed, candidate=signed / "trusted")


def test_an_adapter_is_verified_by_the_digest_of_its_files(root: Path) -> None:
    adapter = root / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(IntegrityError, match="the candidate that was signed has no adapter"):
        verified(root, adapter=adapter)


def test_a_statement_is_refused_that_leaves_out_a_file_or_a_model_or_names_what_no_run_has(root: Path) -> None:
    statement = statement_of(root)
    kept = [each for each in statement["subject"] if each["name"] not in ("run.duckdb", "candidate/config.json")]
    kept = [each for each in kept if not each["name"].startswith("trusted/")]
    resealed(root, statement | {"subject": [*kept, {"name": "/etc/passwd", "digest": {"sha256": "0" * 64}}]})
    with pytest.raises(IntegrityError) as caught:
        verified(root)
    said = str(caught.value)
    assert "run.duckdb is not among what was signed" in said
    assert "no file of the trusted model is among what was signed" in said
    assert "'/etc/passwd' was signed and is nothing that a run has" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "no in-toto statement with a test result"),
        ({"predicateType": "https://slsa.dev/provenance/v1"}, "no in-toto statement with a test result"),
        ({"predicate": {"result": "FINE"}}, "its result is none of PASSED, WARNED, FAILED"),
        ({"predicate": []}, "its result is none of PASSED"),
        ({"subject": []}, "a subject has no name of its own or no sha256"),
        ({"subject": "report.html"}, "a subject has no name of its own or no sha256"),
        ({"subject": [{"name": "report.html", "digest": {"sha512": "0" * 128}}]}, "no sha256"),
        ({"subject": [{"name": "a", "digest": {"sha256": "0" * 64}}] * 2}, "no name of its own"),
    ],
)
def test_a_signed_statement_of_another_kind_is_refused(root: Path, change: dict, said: str) -> None:
    resealed(root, statement_of(root) | change)
    with pytest.raises(IntegrityError, match=said):
        verified(root)


def test_a_signed_payload_of_another_type_is_refused(root: Path) -> None:
    resealed(root, statement_of(root), kind="application/json")
    with pytest.raises(IntegrityError, match="signed, but its payload type is not"):
        verified(root)


def test_the_signature_is_checked_before_anything_in_the_statement(root: Path) -> None:
    envelope = json.loads((root / "run" / "report" / ATTESTATION).read_text())
    envelope["payload"] = base64.b64encode(b"not even JSON").decode()
    (root / "run" / "report" / ATTESTATION).write_text(json.dumps(envelope))
    with pytest.raises(IntegrityError, match="no signature in it fits the key"):
        verified(root)


def test_a_report_that_is_not_that_of_the_database_is_not_signed(root: Path) -> None:
    run, key = root / "run", read_private_key(root / "key")
    page = run / "report" / "report.html"
    page.write_text(page.read_text("utf-8").replace("review required", "nothing to see"), "utf-8")
    with pytest.raises(IntegrityError, match=r"report\.html is not the page of report\.json"):
        sign(run, report=run / "report", key=key)
    connection = duckdb.connect(str(run / "run.duckdb"))
    connection.execute("UPDATE findings SET severity = 'low' WHERE rank = 1")
    connection.close()
    with pytest.raises(IntegrityError, match="write it again with `diffbehav report"):
        sign(run, report=run / "report", key=key)
    with pytest.raises(InputError, match=r"report\.json does not exist"):
        sign(run, report=root / "elsewhere", key=key)


def test_a_key_is_private_to_its_owner_and_never_overwritten(tmp_path: Path) -> None:
    public = write_keys(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(InputError, match="never overwritten"):
        write_keys(tmp_path / "key")
    (tmp_path / "key").unlink()
    with pytest.raises(InputError, match=r"key\.pub exists"):
        write_keys(tmp_path / "key")
    assert b"PRIVATE" in before and b"PUBLIC" in public.read_bytes()


def test_keys_of_another_kind_are_refused(tmp_path: Path) -> None:
    public = write_keys(tmp_path / "key")
    with pytest.raises(InputError, match="is a private key"):
        read_public_key(tmp_path / "key")
    with pytest.raises(InputError, match="no private key as PEM"):
        read_private_key(public)
    other = generate_private_key(SECP256R1()).public_key()
    (tmp_path / "other").write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(InputError, match="no Ed25519 key"):
        read_public_key(tmp_path / "other")


def test_the_commands_sign_and_verify_and_a_changed_file_is_an_integrity_error(root: Path) -> None:
    runner, run = CliRunner(), str(root / "run")
    assert runner.invoke(cli, ["attest", "key", "--out", str(root / "second")]).exit_code == 0
    assert runner.invoke(cli, ["attest", "sign", run, "--key", str(root / "second")]).exit_code == 0
    checked = ["attest", "verify", run, "--key", str(root / "second.pub"), "--trusted", str(root / "trusted")]
    said = runner.invoke(cli, checked)
    assert said.exit_code == 0
    assert "the signed verdict is DIVERGENT" in said.output
    assert "not read: the model files of the candidate" in said.output
    flip(root / "trusted" / "model.safetensors", 5)
    failed = runner.invoke(cli, checked)
    assert isinstance(failed.exception, IntegrityError)
    assert failed.exception.exit_code == 21
