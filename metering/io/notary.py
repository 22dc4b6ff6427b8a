"""Signatures, checked and made in threads: the library lets go of the interpreter meanwhile."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Final

from metering.ack import Ack, Signer
from metering.receipt import Receipt
from metering.signed import Key, Sealed, verify

# Small enough that all threads end together, large enough that handing over costs nothing.
SLICE: Final = 128


class Notary:
    """Checks meters' signatures, and signs acks if there is a key to sign with."""

    def __init__(self, signer: Signer | None, *, threads: int) -> None:
        self._signer = signer
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="notary")

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def verify(self, pairs: Sequence[tuple[Sealed, Key]]) -> list[bool]:
        """Say of each telegram whether this key signed it."""
        loop = asyncio.get_running_loop()
        slices = [pairs[start : start + SLICE] for start in range(0, len(pairs), SLICE)]
        done = await asyncio.gather(
            *(loop.run_in_executor(self._pool, _verify, part) for part in slices)
        )
        return [good for part in done for good in part]

    async def sign(self, acks: Sequence[Ack], *, at: datetime) -> list[Receipt]:
        """Return the messages that tell signing meters what is safe; none without a key."""
        if self._signer is None:
            return []
        loop = asyncio.get_running_loop()
        sign = partial(self._signer.sign_all, at=at)
        slices = [acks[start : start + SLICE] for start in range(0, len(acks), SLICE)]
        done = await asyncio.gather(
            *(loop.run_in_executor(self._pool, sign, part) for part in slices)
        )
        return [receipt for part in done for receipt in part]


def _verify(pairs: Sequence[tuple[Sealed, Key]]) -> list[bool]:
    return [verify(sealed, key) for sealed, key in pairs]
