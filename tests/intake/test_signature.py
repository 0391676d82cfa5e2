"""An OpenSSF signature holds for the very folder that was signed, by the very key, and for nothing else."""

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing

from diffbehav.errors import InputError, IntegrityError
from diffbehav.intake.signature import NAME, Signer, verified
from diffbehav.organism import shipped
from tests.conftest import diffbehav


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    pem = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path]:
    """A signed model and the public key of who signed it."""
    model = Path(shutil.copytree(shipped("trusted"), tmp_path / "model"))
    private, public = key_pair(tmp_path, "vendor")
    all_but_itself = hashing.Config().set_ignored_paths(paths=[model / NAME])
    config = signing.Config().set_hashing_config(all_but_itself).use_elliptic_key_signer(private_key=private)
    config.sign(model, model / NAME)
    return model, public


def test_a_signed_model_holds_by_the_key_of_its_signer_and_inspect_says_so(signed: tuple[Path, Path]) -> None:
    model, public = signed
    assert diffbehav("inspect", model, "--signed-by", public, "--quiet").startswith(f"model.sig holds by key {public}")


def test_one_flipped_byte_of_the_weights_is_refused_and_the_file_named(signed: tuple[Path, Path]) -> None:
    model, public = signed
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    with pytest.raises(IntegrityError, match=r"could not be verified .*model\.safetensors"):
        verified(model, Signer(key=public))


def test_a_file_that_was_not_signed_is_refused_and_named(signed: tuple[Path, Path]) -> None:
    model, public = signed
    (model / "added.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"added\.json"):
        verified(model, Signer(key=public))


def test_the_key_of_somebody_else_is_refused(signed: tuple[Path, Path], tmp_path: Path) -> None:
    _, other = key_pair(tmp_path, "somebody")
    with pytest.raises(IntegrityError, match="could not be verified"):
        verified(signed[0], Signer(key=other))


def test_without_a_named_signer_a_signature_is_said_to_be_unverified_and_none_is_silent(
    signed: tuple[Path, Path],
) -> None:
    said = verified(signed[0], Signer())
    assert said is not None and "not verified" in said
    assert verified(shipped("trusted"), Signer()) is None


def test_a_signature_that_is_wanted_and_not_there_is_an_error(signed: tuple[Path, Path]) -> None:
    with pytest.raises(IntegrityError, match="there is no signature"):
        verified(shipped("trusted"), Signer(key=signed[1]))


@pytest.mark.parametrize("signer", [Signer(identity="a@b.example"), Signer(issuer="https://id.example"),
                                    Signer(Path("k.pub"), "a@b.example", "https://id.example")])  # fmt: skip
def test_half_a_signer_or_two_of_them_are_refused(signed: tuple[Path, Path], signer: Signer) -> None:
    with pytest.raises(InputError, match="name one of the two"):
        verified(signed[0], signer)
