"""Sending what residents are told: one batch, and the loop around it."""

import asyncio
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from app.run import loop
from app.wiring import House
from billing.deliver import Mailer, deliver
from billing.io.outbox import Outbox
from billing.io.writer import Writer

# A slow relay still ends a batch within the lease of its first message.
DELIVER_BATCH: Final = 50
DELIVER_EVERY: Final = timedelta(seconds=15)


async def deliver_at(house: House, opened: Mailer, at: datetime) -> dict[str, Any]:
    """Send one batch of messages that are due, and return its counts."""
    settings = house.settings
    assert settings.mail_from is not None, "a relay has a sender"
    counts = await deliver(
        store=Outbox(pool=house.pool),
        mailer=opened,
        writer=Writer(
            pool=house.pool, zone=settings.zone, url=settings.public_url, payee=settings.payee
        ),
        sender=settings.mail_from,
        at=at,
        limit=DELIVER_BATCH,
    )
    return asdict(counts)


async def deliver_loop(house: House, opened: Mailer, stopping: asyncio.Event) -> None:
    """Send messages, again and again; a full batch is followed by the next one at once."""

    async def step(at: datetime) -> None:
        counts = await deliver_at(house, opened, at)
        while _full(counts) and not stopping.is_set():
            counts = await deliver_at(house, opened, house.clock.now())

    await loop(step, name="deliver", every=DELIVER_EVERY, clock=house.clock, stopping=stopping)


def _full(counts: dict[str, Any]) -> bool:
    """Say whether more may be due; what is left for later is not."""
    done: int = counts["sent"] + counts["published"] + counts["withdrawn"]
    return done >= DELIVER_BATCH
