"""What a verb of metering needs from outside: where telegrams come from, go to, and are proven."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from metering.ack import Ack
from metering.outcome import Known, Outcome
from metering.receipt import Receipt
from metering.signed import Key, Sealed
from metering.telegram import Arrival, Telegram


class Batch(Protocol):
    """One open transaction of the store."""

    async def holds(self, foreseen: Known) -> bool:
        """Lock the meters against other workers, and say whether what was foreseen is true."""

    async def load(self, meter_ids: Iterable[str], telegrams: Sequence[Telegram]) -> Known:
        """Lock the meters against other workers, and return what is known about them."""

    async def keep(self, outcome: Outcome, *, at: datetime) -> None:
        """Write telegrams, readings and refused messages."""


class Store(Protocol):
    """Where telegrams go."""

    def foresee(self, meter_ids: Iterable[str], telegrams: Sequence[Telegram]) -> Known | None:
        """Return what will be known once the batches under way are stored; None if unforeseeable.

        Whoever decides by it says so with ``expect``, and opens his batch before anybody else does.
        """

    def expect(self, foreseen: Known, outcome: Outcome) -> None:
        """Remember a decision that is still to be stored; the next one builds on it."""

    def batch(
        self, telegrams: Sequence[Telegram], *, foreseen: bool
    ) -> AbstractAsyncContextManager[Batch]:
        """Open a transaction that commits when left, with room for these telegrams' months.

        Transactions come in the order of these calls, one after another.

        Raises:
            NotStorableError: something in the batch cannot be stored.
            BusyError: somebody else got in between.
        """

    async def keys(self, meter_ids: Iterable[str]) -> Mapping[str, Sequence[Key]]:
        """Return the keys of meters, whatever stands against them."""

    def forget_months(self) -> None:
        """Look again which months the database has room for."""


class Subscription(Protocol):
    """Where telegrams come from, and receipts go to."""

    async def get_batch(self, limit: int) -> list[Arrival]:
        """Wait for at least one message and return up to ``limit``, in order of arrival."""

    def ack(self, arrivals: Iterable[Arrival]) -> None:
        """Tell the broker that these messages are safe with us."""

    def put_back(self, arrivals: Sequence[Arrival]) -> None:
        """Take messages back that were not stored; they are the next to be handed out."""

    async def publish_many(self, messages: Sequence[tuple[str, bytes, bool]]) -> int:
        """Hand (topic, payload, retain) to the broker in order; return how many were.

        Fewer than all means that the connection was lost.
        """


class Notary(Protocol):
    """Checks what meters signed, and signs what they are told."""

    async def verify(self, pairs: Sequence[tuple[Sealed, Key]]) -> list[bool]:
        """Say of each telegram whether this key signed it."""

    async def sign(self, acks: Sequence[Ack], *, at: datetime) -> list[Receipt]:
        """Return the messages that tell signing meters what is safe."""


class Clock(Protocol):
    """What time it is."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
