"""Chance that can be repeated: everything that asks the system for randomness asks the seed."""

import random
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def repeatable(seed: object) -> Iterator[random.Random]:
    """Let ``secrets`` and ``uuid4`` draw from a seed while the block runs."""
    rng = random.Random(f"chance {seed}")  # noqa: S311 - that is the purpose
    kept = (
        secrets.token_bytes,
        secrets.token_hex,
        secrets.token_urlsafe,
        secrets.randbelow,
        uuid.uuid4,
    )

    def token_bytes(nbytes: int | None = None) -> bytes:
        return rng.randbytes(32 if nbytes is None else nbytes)

    def token_hex(nbytes: int | None = None) -> str:
        return token_bytes(nbytes).hex()

    secrets.token_bytes = token_bytes
    secrets.token_hex = token_hex
    secrets.token_urlsafe = token_hex
    secrets.randbelow = rng.randrange
    uuid.uuid4 = lambda: uuid.UUID(int=rng.getrandbits(128), version=4)
    try:
        yield rng
    finally:
        (
            secrets.token_bytes,
            secrets.token_hex,
            secrets.token_urlsafe,
            secrets.randbelow,
            uuid.uuid4,
        ) = kept
