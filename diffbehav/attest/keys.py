"""Ed25519 keys as PEM files."""

import hashlib
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from diffbehav.errors import InputError
from diffbehav.store import disk_error

_MOST_BYTES = 64_000


def write_keys(private: Path) -> Path:
    """Write a new private key, readable by its owner alone, and the public one beside it; returns the public file.

    InputError where one of the two files exists.
    """
    public = private.with_name(private.name + ".pub")
    for path in (private, public):
        if path.exists():
            raise InputError(f"{path} exists, and a key is never overwritten; name another file")
    key = Ed25519PrivateKey.generate()
    _write_new(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    _write_new(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), mode=0o644)
    return public


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """The key of a PEM file as `write_keys` writes it; InputError for anything else."""
    try:
        key = load_pem_private_key(_read(path), password=None)
    except TypeError as error:
        raise InputError(f"{path}: the private key is encrypted; name one without a password") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path}: no private key as PEM; `diffbehav attest key --out FILE` makes one") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path}: the key is no Ed25519 key; `diffbehav attest key --out FILE` makes one")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """The key of a PEM file; InputError for anything else, a private key included."""
    content = _read(path)
    if b"PRIVATE KEY" in content:
        raise InputError(f"{path} is a private key; name the public one, {path.name}.pub")
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path}: no public key as PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{path}: the key is no Ed25519 key")
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """sha256 (64 hex digits) of the key as DER: a name for it, and no proof of anything."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise InputError(f"{path}: the key cannot be read ({error.strerror})") from error


def _write_new(path: Path, content: bytes, *, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise InputError(f"{path} exists, and a key is never overwritten; name another file") from error
    except OSError as error:
        raise disk_error(error, path) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
