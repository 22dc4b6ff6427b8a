"""Telling every meter again what is safe, after a broker has lost what it kept for them.

A meter that hears nothing sends its telegrams once more, and they are found repeated; but a battery
meter pays for each. What it is told comes from the database, as it stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog

from metering.ack import Ack
from metering.port import Notary
from metering.receipt import Answer, Receipt, Result, build
from metering.telegram import UNSIGNED

# Meters of one page: their receipts are handed to the broker together.
PAGE: Final = 1000
# The last telegrams of an unsigned meter; it has seldom more of them unanswered.
COUNTERS_MAX: Final = 32

log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a meter without a key may forget: its highest stored counters."""

    meter_id: str
    counters: Sequence[int]


class Safe(Protocol):
    """Where it is written what is safe."""

    async def windows(self, *, after: tuple[str, int], page: int) -> list[Ack]:
        """Return what signing meters may forget, by meter and epoch."""

    async def counters(self, *, after: str, page: int, most: int) -> list[Stored]:
        """Return what unsigned meters may forget, by meter."""


class Outlet(Protocol):
    """Where receipts go."""

    async def publish_many(self, messages: Sequence[tuple[str, bytes, bool]]) -> int:
        """Hand (topic, payload, retain) to the broker in order; return how many were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepublishCounts:
    """Receipts that were handed to the broker, and those for which there was no connection."""

    signed: int = 0
    plain: int = 0
    unsent: int = 0


async def republish(*, safe: Safe, outlet: Outlet, notary: Notary, at: datetime) -> RepublishCounts:
    """Publish, retained, the present receipt of every meter that anything is stored of.

    It may run while ingest does: whichever receipt comes last is true, and none takes one back.
    """
    signed = plain = unsent = 0
    after = ("", 0)
    while acks := await safe.windows(after=after, page=PAGE):
        after = (acks[-1].meter_id, acks[-1].key_epoch)
        sent = await _publish(outlet, await notary.sign(acks, at=at))
        signed, unsent = signed + sent, unsent + len(acks) - sent
    last = ""
    while rows := await safe.counters(after=last, page=PAGE, most=COUNTERS_MAX):
        last = rows[-1].meter_id
        receipts = build([answer for row in rows for answer in _answers(row)], at=at)
        sent = await _publish(outlet, receipts)
        plain, unsent = plain + sent, unsent + len(receipts) - sent
    log.info("receipts.republished", signed=signed, plain=plain, unsent=unsent)
    return RepublishCounts(signed=signed, plain=plain, unsent=unsent)


def _answers(row: Stored) -> list[Answer]:
    return [
        Answer(
            meter_id=row.meter_id,
            registered=True,
            counter=counter,
            result=Result.STORED,
            reason=None,
            key_epoch=UNSIGNED,
        )
        for counter in row.counters
    ]


async def _publish(outlet: Outlet, receipts: Sequence[Receipt]) -> int:
    messages = [(receipt.topic, receipt.payload, receipt.retain) for receipt in receipts]
    return await outlet.publish_many(messages)
