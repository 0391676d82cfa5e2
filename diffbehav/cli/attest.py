"""`attest`: sign what a review is given, and check that it is still that."""

from pathlib import Path

import click

from diffbehav import untrusted
from diffbehav.cli.options import FOLDER, TEXT_FILE

report_option = click.option("--report", type=FOLDER, help="Folder of the report; default RUN/report.")


@click.group()
def attest() -> None:
    """Sign report, database and model digests of a run, and verify them."""


@attest.command("key")
@click.option("--out", type=TEXT_FILE, required=True, help="File of the new private key; the public one is FILE.pub.")
def attest_key(out: Path) -> None:
    """Make an Ed25519 key pair. A file that exists is never overwritten."""
    from diffbehav.attest import key_id, read_public_key, write_keys

    public = write_keys(out)
    click.echo(f"{out}  private, readable by you alone")
    click.echo(f"{public}  public, key id {key_id(read_public_key(public))}")


@attest.command("sign")
@click.argument("run", type=FOLDER)
@click.option("--key", type=TEXT_FILE, required=True, help="Private key, as `attest key` makes it.")
@report_option
def attest_sign(run: Path, key: Path, report: Path | None) -> None:
    """Sign RUN as an in-toto test result in a DSSE envelope, beside its report.

    Subjects are report.html, report.json, run.duckdb, run.json and every file of both models by its sha256. The result
    is PASSED for NO_DIVERGENCE_FOUND, WARNED for INCONCLUSIVE, FAILED for DIVERGENT; an INVALID run is not signed.
    """
    from diffbehav.attest import read_private_key, sign

    click.echo(untrusted.terminal(str(sign(run, report=report or run / "report", key=read_private_key(key)))))


@attest.command("verify")
@click.argument("run", type=FOLDER)
@click.option("--key", type=TEXT_FILE, required=True, help="Public key of who is trusted to have signed.")
@click.option("--candidate", type=FOLDER, help="Also hash the files of this model folder.")
@click.option("--candidate-adapter", "adapter", type=FOLDER, help="Also hash this adapter folder.")
@click.option("--trusted", type=FOLDER, help="Also hash the files of this model folder.")
@click.option("--attestation", type=TEXT_FILE, help="Default: attestation.intoto.json in the folder of the report.")
@report_option
def attest_verify(
    run: Path, key: Path, candidate: Path | None, adapter: Path | None, trusted: Path | None,
    attestation: Path | None, report: Path | None,
) -> None:  # fmt: skip
    """Check the signature, then every file of RUN that was signed.

    Ends with 21 where the signature does not fit the key or a file is not the one that was signed.
    """
    from diffbehav.attest import ATTESTATION, key_id, read_public_key
    from diffbehav.attest import verify as verified

    report = report or run / "report"
    known = read_public_key(key)
    found = verified(
        run, attestation=attestation or report / ATTESTATION, report=report, key=known, candidate=candidate,
        trusted=trusted, adapter=adapter,
    )  # fmt: skip
    signer = key_id(known)[:16]
    click.echo(untrusted.terminal(f"verified  {run}: {found.files} files are those that key {signer} signed"))
    click.echo(f"the signed verdict is {found.verdict} (test result {found.result})")
    for model in found.unread:
        click.echo(f"not read: the model files of the {model}; name their folder with --{model}")
