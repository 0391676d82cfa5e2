"""Whether a model folder is what its signer signed: OpenSSF model signatures, by key or by sigstore identity."""

from pathlib import Path
from typing import NamedTuple

from diffbehav.errors import InputError, IntegrityError

NAME = "model.sig"
"""Where a signature lies in the folder of its model."""
_INSTALL = 'pip install "diffbehav[signatures]"'


class Signer(NamedTuple):
    """Whose signature is wanted: the holder of a key, or an identity that an OpenID issuer vouched for."""

    key: Path | None = None
    """PEM file of an elliptic public key."""
    identity: str | None = None
    issuer: str | None = None

    @property
    def is_named(self) -> bool:
        """Whether anybody's is."""
        return any(each is not None for each in self)


def verified(model: Path, signer: Signer) -> str | None:
    """What is known of the signature of `model`, in words; None without one where nobody's is wanted.

    IntegrityError where the one that is wanted is not there, does not hold, or does not cover the folder as it is.
    """
    half = (signer.identity is None) != (signer.issuer is None)
    if half or (signer.key is not None and signer.identity is not None):
        raise InputError("a signature is by a key, or by an identity and its issuer: name one of the two")
    path = model / NAME
    if not path.is_file():
        if signer.is_named:
            raise IntegrityError(f"{path}: there is no signature, and one was asked for")
        return None
    if not signer.is_named:
        return f"{NAME} is there and was not verified: nobody was named who should have signed"
    try:
        from model_signing import verifying
    except ImportError as error:
        raise InputError(f"{path} cannot be verified without model-signing: {_INSTALL}") from error
    config = verifying.Config()
    if signer.key is not None:
        if not signer.key.is_file():
            raise InputError(f"{signer.key}: no such file; name the public key of the signer in PEM")
        said = f"{NAME} holds by key {signer.key}"
    else:
        said = f"{NAME} holds by {signer.identity}, as {signer.issuer} vouched"
    try:
        if signer.key is not None:
            config.use_elliptic_key_verifier(public_key=signer.key)
        else:
            config.use_sigstore_verifier(identity=signer.identity or "", oidc_issuer=signer.issuer or "")
        config.verify(model, path)
    except Exception as error:  # noqa: BLE001  the library lets through what its own libraries raise
        reason = str(error).strip() or type(error).__name__
        raise IntegrityError(f"{path} could not be verified against {model}: {reason}") from error
    return said
