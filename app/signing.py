"""The key with which we sign what meters are told."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.config import Settings
from metering.ack import Signer

FILE: Final = "signing.key"


class SigningKeyError(Exception):
    """The signing key cannot be used; the message is one sentence for people."""


def signer(settings: Settings) -> Signer:
    """Return what signs our acknowledgements, with a new key in the state folder if there is none.

    Raises:
        SigningKeyError: the file that was named is missing or holds no key.
    """
    path = settings.signing_key
    if path is None:
        path = settings.state / FILE
        _make(path)
    try:
        text = path.read_text(encoding="ascii").strip()
        return Signer(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text)))
    except (OSError, ValueError) as error:
        kind = type(error).__name__
        raise SigningKeyError(
            f"The signing key in {path} cannot be used ({kind}); it must be 64 hex digits."
        ) from None


def _make(path: Path) -> None:
    """Write a new key for ourselves alone; a process that was faster wins."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(Ed25519PrivateKey.generate().private_bytes_raw().hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    # A link, unlike a rename, does not replace what another process put there meanwhile.
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
