"""Envelopes: signed bytes by the specification, and hostile files that are refused with a reason."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from diffbehav.attest import pae, read_envelope
from diffbehav.attest.dsse import MOST_BYTES, authenticated, sealed
from diffbehav.errors import InputError, IntegrityError

KIND = "application/vnd.in-toto+json"


@pytest.fixture(scope="module")
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def written(folder: Path, content: object) -> Path:
    path = folder / "envelope.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_signed_bytes_are_those_of_the_test_vector_in_the_specification() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_lengths_count_bytes_and_an_empty_part_keeps_its_two_spaces() -> None:
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "
    assert pae("", b"a b") == b"DSSEv1 0  3 a b"


def test_a_sealed_payload_comes_back_with_its_key_and_with_no_other(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    path = written(tmp_path, sealed(b'{"a": 1}', KIND, key))
    assert authenticated(read_envelope(path), key.public_key(), path) == b'{"a": 1}'
    with pytest.raises(IntegrityError, match="no signature in it fits the key"):
        authenticated(read_envelope(path), Ed25519PrivateKey.generate().public_key(), path)


def test_every_flipped_byte_of_payload_type_or_signature_is_refused(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    payload = b'{"subject": []}'
    good = sealed(payload, KIND, key)
    signature = base64.b64decode(good["signatures"][0]["sig"])
    changed = [good | {"payloadType": KIND[:-1] + "x"}]
    changed += [good | {"payload": base64.b64encode(flipped(payload, i)).decode()} for i in range(len(payload))]
    changed += [
        good | {"signatures": [{"sig": base64.b64encode(flipped(signature, i)).decode()}]}
        for i in range(len(signature))
    ]
    for envelope in changed:
        path = written(tmp_path, envelope)
        with pytest.raises(IntegrityError, match="no signature in it fits"):
            authenticated(read_envelope(path), key.public_key(), path)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def test_one_good_signature_among_several_is_enough_and_the_keyid_is_never_believed(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    other = sealed(b"{}", KIND, Ed25519PrivateKey.generate())
    mine = sealed(b"{}", KIND, key)
    both = mine | {"signatures": [*other["signatures"], {"sig": mine["signatures"][0]["sig"], "keyid": "somebody"}]}
    path = written(tmp_path, both)
    assert authenticated(read_envelope(path), key.public_key(), path) == b"{}"
    forged = other | {"signatures": [other["signatures"][0] | {"keyid": mine["signatures"][0]["keyid"]}]}
    path = written(tmp_path, forged)
    with pytest.raises(IntegrityError, match="no signature in it fits"):
        authenticated(read_envelope(path), key.public_key(), path)


def test_url_safe_base64_is_read_as_well(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    payload = b'{"a": "\xc3\xbf\xc3\xbf?>~~~"}'
    envelope = sealed(payload, KIND, key)
    translated = {name: envelope[name].translate(str.maketrans("+/", "-_")) for name in ("payload",)}
    path = written(tmp_path, envelope | translated)
    assert authenticated(read_envelope(path), key.public_key(), path) == payload


GOOD = {"payload": "e30=", "payloadType": KIND, "signatures": [{"sig": "AAAA"}]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not valid JSON"),
        ("[1]", "a JSON object was expected"),
        ("[" * 100_000, "not valid JSON"),
        ('{"a": ' * 20_000 + "1" + "}" * 20_000, "not valid JSON"),
        ('{"payload": "e30=", "payload": "e30="}', "a key that is there twice"),
        ('{"a": ' + "9" * 5_000 + "}", "not valid JSON"),
        (GOOD | {"payload": "e30"}, "payload is no whole base64"),
        (GOOD | {"payload": "e3 0="}, "payload is missing or is no base64"),
        (GOOD | {"payload": 7}, "payload is missing or is no base64"),
        (GOOD | {"payloadType": None}, "payloadType is no short ASCII text"),
        (GOOD | {"payloadType": "x" * 1_000}, "payloadType is no short ASCII text"),
        (GOOD | {"signatures": []}, "no list of 1 to 16 signatures"),
        (GOOD | {"signatures": [{"sig": "AAAA"}] * 17}, "no list of 1 to 16 signatures"),
        (GOOD | {"signatures": ["AAAA"]}, "sig is missing or is no base64"),
        (GOOD | {"signatures": [{"sig": "=AAA"}]}, "sig is missing or is no base64"),
        (" " * (MOST_BYTES + 1), "an attestation is far smaller"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_file_that_is_no_envelope_is_refused_with_the_reason(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(IntegrityError, match=said):
        read_envelope(written(tmp_path, content))


def test_a_file_that_is_not_there_says_who_writes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`diffbehav attest sign` writes it"):
        read_envelope(tmp_path / "none.json")
