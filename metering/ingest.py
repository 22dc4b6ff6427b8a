"""One batch of telegrams: decode, judge, store; acknowledge after the commit, then tell the meters.

The order is commit, acknowledgement, receipt. A crash after the commit makes the broker deliver
again, and a crash after the acknowledgement costs receipts; in both cases the broker or the meter
says it once more, and it is found repeated. Receipts come last because they may have to wait for
room at the broker, and nothing else should wait with them.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Final, Protocol

import structlog

from metering.batch import Heard, Known, Outcome, settle
from metering.receipt import Receipt, build
from metering.telegram import Arrival, Refusal, RefusalReason, Telegram, decode

# One commit of this size costs about a tenth of a second; more only makes meters wait.
BATCH_MAX: Final = 2000
# Another worker on the same meters, or a deadlock, is rare and over at once.
TRIES_MAX: Final = 3

log = structlog.get_logger()


class NotStorableError(Exception):
    """The database refused a batch for what is in it, not for the state it is in."""


class BusyError(Exception):
    """Another worker got in between; the batch was rolled back and may be tried again."""


class Batch(Protocol):
    """One open transaction of the store."""

    async def load(self, meter_ids: Iterable[str], telegrams: Sequence[Telegram]) -> Known:
        """Lock the meters against other workers, and return what is known about them."""

    async def keep(self, outcome: Outcome, *, at: datetime) -> None:
        """Write telegrams, readings and refused messages."""


class Store(Protocol):
    """Where telegrams go."""

    def batch(self, telegrams: Sequence[Telegram]) -> AbstractAsyncContextManager[Batch]:
        """Open a transaction that commits when left, with room for these telegrams' months.

        Raises:
            NotStorableError: something in the batch cannot be stored.
            BusyError: somebody else got in between.
        """

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

    async def publish(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        """Hand a message to the broker; False when there is no connection to do so."""


class Clock(Protocol):
    """What time it is."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestCounts:
    """What one batch came to.

    ``readings`` counts those written, the ``suspect`` among them included; ``receipts_unsent``
    those lost for want of a connection, which the meters bring about again by sending again.
    """

    telegrams: int = 0
    stored: int = 0
    repeated: int = 0
    refused: int = 0
    readings: int = 0
    suspect: int = 0
    reading_conflicts: int = 0
    receipts: int = 0
    receipts_unsent: int = 0

    def __add__(self, other: "IngestCounts") -> "IngestCounts":
        """Add two batches up."""
        return IngestCounts(
            **{
                part.name: getattr(self, part.name) + getattr(other, part.name)
                for part in fields(self)
            }
        )


async def ingest(
    arrivals: Sequence[Arrival], *, store: Store, at: datetime
) -> tuple[IngestCounts, list[Receipt]]:
    """Store one batch of messages and return its counts and the receipts to publish.

    When it returns, everything is committed. When it raises, the messages must not be acknowledged:
    some may be stored, and will be found repeated.

    Raises:
        Exception: whatever the store raises when the database is away.
    """
    heard = [
        Heard(arrival=arrival, said=decode(arrival.topic, arrival.payload)) for arrival in arrivals
    ]
    try:
        outcomes = [await _keep_together(heard, store=store, at=at)]
    except NotStorableError:
        # A month that somebody has dropped looks like bad data; look again before blaming.
        store.forget_months()
        outcomes = await _keep(heard, store=store, at=at)
    receipts = build([answer for outcome in outcomes for answer in outcome.answers], at=at)
    counts = IngestCounts(
        telegrams=len(arrivals),
        stored=sum(outcome.stored for outcome in outcomes),
        repeated=sum(outcome.repeated for outcome in outcomes),
        refused=sum(outcome.refused for outcome in outcomes),
        readings=sum(len(outcome.readings) for outcome in outcomes),
        suspect=sum(outcome.suspect for outcome in outcomes),
        reading_conflicts=sum(outcome.reading_conflicts for outcome in outcomes),
        receipts=len(receipts),
    )
    return counts, receipts


async def ingest_once(subscription: Subscription, store: Store, clock: Clock) -> IngestCounts:
    """Wait for messages, store one batch, acknowledge it, publish its receipts.

    It takes a clock and not an instant, because the waiting may last for hours: the batch is judged
    by the time at which it came in.

    Raises:
        Exception: whatever the store raises; the messages are put back, none is acknowledged.
    """
    arrivals = await subscription.get_batch(BATCH_MAX)
    return await ingest_batch(arrivals, subscription=subscription, store=store, at=clock.now())


async def ingest_batch(
    arrivals: Sequence[Arrival], *, subscription: Subscription, store: Store, at: datetime
) -> IngestCounts:
    """Store one batch that was already taken, acknowledge it, publish its receipts.

    Raises:
        Exception: whatever the store raises; the messages are put back, none is acknowledged.
    """
    try:
        counts, receipts = await ingest(arrivals, store=store, at=at)
    except BaseException:
        subscription.put_back(arrivals)
        raise
    subscription.ack(arrivals)
    unsent = 0
    for receipt in receipts:
        if not await subscription.publish(receipt.topic, receipt.payload, retain=receipt.retain):
            unsent += 1
    counts = replace(counts, receipts=len(receipts) - unsent, receipts_unsent=unsent)
    log.info(
        "telegrams.ingested", **{part.name: getattr(counts, part.name) for part in fields(counts)}
    )
    return counts


async def _keep(heard: Sequence[Heard], *, store: Store, at: datetime) -> list[Outcome]:
    """Store messages together; if the database refuses, find the culprit by halving.

    What the database refuses alone is refused with a reason of its own, so one poisoned row costs
    one telegram and not the line.
    """
    try:
        return [await _keep_together(heard, store=store, at=at)]
    except NotStorableError as error:
        if len(heard) > 1:
            middle = len(heard) // 2
            first = await _keep(heard[:middle], store=store, at=at)
            return first + await _keep(heard[middle:], store=store, at=at)
        # Without the trace: PostgreSQL's own words repeat the row.
        log.error(  # noqa: TRY400
            "telegram.not_storable", meter_id=heard[0].said.meter_id, error=str(error)
        )
        return [await _keep_together([_not_storable(heard[0])], store=store, at=at)]


async def _keep_together(heard: Sequence[Heard], *, store: Store, at: datetime) -> Outcome:
    """Store messages in one transaction, again from the start if somebody got in between."""
    telegrams = [message.said for message in heard if isinstance(message.said, Telegram)]
    meter_ids = {message.said.meter_id for message in heard if message.said.meter_id is not None}
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            async with store.batch(telegrams) as batch:
                outcome = settle(heard, known=await batch.load(meter_ids, telegrams), at=at)
                await batch.keep(outcome, at=at)
        except BusyError:
            if not tries_left:
                raise
        else:
            return outcome
    raise AssertionError("the last try returns or raises")


def _not_storable(message: Heard) -> Heard:
    said = message.said
    return Heard(
        arrival=message.arrival,
        said=Refusal(
            reason=RefusalReason.NOT_STORABLE,
            detail="the database refused it",
            meter_id=said.meter_id,
            counter=said.counter,
        ),
    )
