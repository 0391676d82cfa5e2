"""A signed statement of what a review was given: digests of report, database and models, and the verdict."""

from diffbehav.attest.dsse import pae, read_envelope
from diffbehav.attest.keys import key_id, read_private_key, read_public_key, write_keys
from diffbehav.attest.sign import sign
from diffbehav.attest.statement import ATTESTATION
from diffbehav.attest.verify import Verified, verify

__all__ = [
    "ATTESTATION",
    "Verified",
    "key_id",
    "pae",
    "read_envelope",
    "read_private_key",
    "read_public_key",
    "sign",
    "verify",
    "write_keys",
]
