"""DSSE envelopes (https://github.com/secure-systems-lab/dsse, 1.0): a payload, its type, and signatures over both."""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from diffbehav.attest.keys import key_id
from diffbehav.errors import InputError, IntegrityError

MOST_BYTES = 4 << 20
"""Of an envelope: a statement names some hundred files at most."""
MOST_SIGNATURES = 16
_URL_SAFE = str.maketrans("-_", "+/")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


class Envelope(NamedTuple):
    """A decoded envelope. Nothing in it is trusted before `authenticated`."""

    payload_type: str
    payload: bytes
    signatures: Sequence[bytes]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: type and payload, each behind its length (pre-authentication encoding)."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sealed(payload: bytes, payload_type: str, key: Ed25519PrivateKey) -> dict[str, Any]:
    """The envelope as JSON values."""
    signature = key.sign(pae(payload_type, payload))
    return {
        "payload": base64.b64encode(payload).decode("ascii"),
        "payloadType": payload_type,
        "signatures": [
            {"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode("ascii")},
        ],
    }


def read_envelope(path: Path) -> Envelope:
    """The envelope in a file, decoded and not verified; IntegrityError where it is no envelope."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; `diffbehav attest sign` writes it") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    if len(content) > MOST_BYTES:
        raise IntegrityError(f"{path}: more than {MOST_BYTES:,} bytes; an attestation is far smaller")
    envelope = parse_object(content, path)
    kind = envelope.get("payloadType")
    if not isinstance(kind, str) or not kind.isascii() or len(kind) > 200:
        raise IntegrityError(f"{path}: payloadType is no short ASCII text, so this is no DSSE envelope")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= MOST_SIGNATURES:
        raise IntegrityError(f"{path}: signatures is no list of 1 to {MOST_SIGNATURES} signatures")
    return Envelope(kind, _decoded(envelope, "payload", path), [_decoded(each, "sig", path) for each in signatures])


def authenticated(envelope: Envelope, key: Ed25519PublicKey, path: Path) -> bytes:
    """The payload, when one of the signatures was made with `key`; the others are ignored, and so is every keyid."""
    signed = pae(envelope.payload_type, envelope.payload)
    if not any(_verifies(signature, signed, key) for signature in envelope.signatures):
        raise IntegrityError(
            f"{path}: no signature in it fits the key {key_id(key)[:16]} and its content; "
            "it was changed, or signed with another key"
        )
    return envelope.payload


def parse_object(content: bytes, path: Path) -> Mapping[str, Any]:
    """A JSON object without a key that is there twice; IntegrityError for anything else."""
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path}: not valid JSON, or with a key that is there twice") from error
    if not isinstance(value, dict):
        raise IntegrityError(f"{path}: a JSON object was expected")
    return value


def _verifies(signature: bytes, signed: bytes, key: Ed25519PublicKey) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _decoded(holder: Any, name: str, path: Path) -> bytes:
    """Standard and URL-safe base64 alike, as the specification asks of a verifier."""
    text = holder.get(name) if isinstance(holder, Mapping) else None
    standard = text.translate(_URL_SAFE) if isinstance(text, str) else ""
    if not standard or not _BASE64.fullmatch(standard):
        raise IntegrityError(f"{path}: {name} is missing or is no base64")
    try:
        return base64.b64decode(standard, validate=True)
    except binascii.Error as error:
        raise IntegrityError(f"{path}: {name} is no whole base64 ({error})") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found
