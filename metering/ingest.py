"""One batch of telegrams: decode, judge, store; acknowledge after the commit, then tell the meters.

The order is commit, acknowledgement, receipt. A crash after the commit makes the broker deliver
again, and a crash after the acknowledgement costs receipts; in both cases the broker or the meter
says it once more, and it is found repeated. Receipts come last because they may have to wait for
room at the broker, and nothing else should wait with them.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Final, Protocol

import structlog

from metering.ack import Ack
from metering.batch import settle
from metering.outcome import Heard, Known, Outcome
from metering.receipt import Receipt, build
from metering.signed import Key, Sealed, signer_of, unproven, unseal, verify
from metering.telegram import UNSIGNED, Arrival, Refusal, RefusalReason, Telegram, decode

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


class _Bystander:
    """Checks signatures on the spot, and tells nobody anything: it has no key to sign with."""

    async def verify(self, pairs: Sequence[tuple[Sealed, Key]]) -> list[bool]:
        return [verify(sealed, key) for sealed, key in pairs]

    async def sign(self, acks: Sequence[Ack], *, at: datetime) -> list[Receipt]:  # noqa: ARG002
        return []


BYSTANDER: Final[Notary] = _Bystander()


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
    arrivals: Sequence[Arrival],
    *,
    store: Store,
    at: datetime,
    notary: Notary = BYSTANDER,
    receipts: bool = True,
) -> tuple[IngestCounts, list[Receipt]]:
    """Store one batch of messages and return its counts and the receipts to publish.

    When it returns, everything is committed. When it raises, the messages must not be acknowledged:
    some may be stored, and will be found repeated. Without ``receipts`` no meter is told anything.

    Raises:
        Exception: whatever the store raises when the database is away.
    """
    heard = await _hear(arrivals, store=store, notary=notary)
    try:
        outcomes = [await _keep_together(heard, store=store, at=at)]
    except NotStorableError:
        # A month that somebody has dropped looks like bad data; look again before blaming.
        store.forget_months()
        outcomes = await _keep(heard, store=store, at=at)
    told = await _receipts(outcomes, notary=notary, at=at) if receipts else []
    counts = IngestCounts(
        telegrams=len(arrivals),
        stored=sum(outcome.stored for outcome in outcomes),
        repeated=sum(outcome.repeated for outcome in outcomes),
        refused=sum(outcome.refused for outcome in outcomes),
        readings=sum(len(outcome.readings) for outcome in outcomes),
        suspect=sum(outcome.suspect for outcome in outcomes),
        reading_conflicts=sum(outcome.reading_conflicts for outcome in outcomes),
        receipts=len(told),
    )
    return counts, told


async def ingest_once(
    subscription: Subscription,
    store: Store,
    clock: Clock,
    *,
    notary: Notary = BYSTANDER,
    receipts: bool = True,
) -> IngestCounts:
    """Wait for messages, store one batch, acknowledge it, publish its receipts.

    It takes a clock and not an instant, because the waiting may last for hours: the batch is judged
    by the time at which it came in.

    Raises:
        Exception: whatever the store raises; the messages are put back, none is acknowledged.
    """
    arrivals = await subscription.get_batch(BATCH_MAX)
    return await ingest_batch(
        arrivals,
        subscription=subscription,
        store=store,
        at=clock.now(),
        notary=notary,
        receipts=receipts,
    )


async def ingest_batch(  # noqa: PLR0913 - a batch meets everything here
    arrivals: Sequence[Arrival],
    *,
    subscription: Subscription,
    store: Store,
    at: datetime,
    notary: Notary = BYSTANDER,
    receipts: bool = True,
) -> IngestCounts:
    """Store one batch that was already taken, acknowledge it, publish its receipts.

    Raises:
        Exception: whatever the store raises; the messages are put back, none is acknowledged.
    """
    try:
        counts, told = await ingest(arrivals, store=store, at=at, notary=notary, receipts=receipts)
    except BaseException:
        subscription.put_back(arrivals)
        raise
    subscription.ack(arrivals)
    messages = [(receipt.topic, receipt.payload, receipt.retain) for receipt in told]
    sent = await subscription.publish_many(messages) if messages else 0
    counts = replace(counts, receipts=sent, receipts_unsent=len(told) - sent)
    log.info(
        "telegrams.ingested", **{part.name: getattr(counts, part.name) for part in fields(counts)}
    )
    return counts


async def _hear(arrivals: Sequence[Arrival], *, store: Store, notary: Notary) -> list[Heard]:
    """Decode messages, and check the signatures of those that are signed."""
    said: list[Telegram | Refusal | Sealed] = []
    for arrival in arrivals:
        meter_id = signer_of(arrival.topic)
        said.append(
            decode(arrival.topic, arrival.payload)
            if meter_id is None
            else unseal(meter_id, arrival.payload)
        )
    sealed = [message for message in said if isinstance(message, Sealed)]
    checked = iter(await _check(sealed, store=store, notary=notary) if sealed else ())
    return [
        Heard(arrival=arrival, said=next(checked) if isinstance(message, Sealed) else message)
        for arrival, message in zip(arrivals, said, strict=True)
    ]


async def _check(
    sealed: Sequence[Sealed], *, store: Store, notary: Notary
) -> list[Telegram | Refusal]:
    """Return the telegrams that the right key signed, and refusals for the others."""
    keys = await store.keys({message.telegram.meter_id for message in sealed})
    pairs: list[tuple[Sealed, Key]] = []
    for message in sealed:
        telegram = message.telegram
        pairs += [
            (message, key) for key in keys.get(telegram.meter_id, ()) if key.kid == telegram.kid
        ][:1]
    verdicts = await notary.verify(pairs)
    right = {id(message): good for (message, _), good in zip(pairs, verdicts, strict=True)}
    checked: list[Telegram | Refusal] = []
    for message in sealed:
        good = right.get(id(message))
        if good:
            checked.append(message.telegram)
        elif good is None:
            checked.append(unproven(message, RefusalReason.UNKNOWN_KEY, "no key of this meter"))
        else:
            checked.append(unproven(message, RefusalReason.BAD_SIGNATURE, "the signature is wrong"))
    return checked


async def _receipts(outcomes: Sequence[Outcome], *, notary: Notary, at: datetime) -> list[Receipt]:
    """Return what to tell the meters: plain receipts, and signed ones to those that sign."""
    told = build(
        [
            answer
            for outcome in outcomes
            for answer in outcome.answers
            if answer.key_epoch == UNSIGNED
        ],
        at=at,
    )
    acks = [ack for outcome in outcomes for ack in outcome.acks()]
    return told + await notary.sign(acks, at=at) if acks else told


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
    """Store messages in one transaction, again from the start if somebody got in between.

    Where it can be foreseen what the batches before this one leave behind, it is decided while they
    are still being written; under its own lock that is confirmed, or it is decided again.
    """
    telegrams = [message.said for message in heard if isinstance(message.said, Telegram)]
    meter_ids = {message.said.meter_id for message in heard if message.said.meter_id is not None}
    outcome = Outcome()
    foreseen = store.foresee(meter_ids, telegrams)
    if foreseen is not None:
        # Nothing is awaited from here until the batch has its place in the order.
        outcome = settle(heard, known=foreseen, at=at)
        store.expect(foreseen, outcome)
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            async with store.batch(telegrams, foreseen=foreseen is not None) as batch:
                if foreseen is None or not await batch.holds(foreseen):
                    outcome = settle(heard, known=await batch.load(meter_ids, telegrams), at=at)
                await batch.keep(outcome, at=at)
        except BusyError:
            if not tries_left:
                raise
            foreseen = None
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
            key_epoch=said.key_epoch,
            answerable=said.answerable if isinstance(said, Refusal) else True,
        ),
    )
