"""The bank's events in PostgreSQL: what was dealt with, what waits, what came as a delivery.

``EventDesk`` and ``EventBook`` are the part that ``billing/io/debits.py`` has in common with
``Hints``, which keeps deliveries and hands out what has to be looked at.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import asyncpg
import structlog

import sql
from billing.bank import BankEvent, BankGarbledError
from billing.io import hook_wire
from billing.webhook import ASIDE_FOR, AskedHint, Hint, HintState, WaitingNews

_Q: Final = sql.queries("bank_events")
_FIELDS: Final = frozenset(field.name for field in fields(BankEvent))

log: Final = structlog.get_logger()


class EventDesk:
    """One open transaction: what it says of the bank's events."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._db = connection

    async def first_time(self, event_id: str, *, resource: str, action: str, at: datetime) -> bool:
        """Keep an event of the bank as dealt with; False if it was dealt with before."""
        first = await _Q.add_bank_event(
            self._db, event_id=event_id, resource=resource, action=action, at=at
        )
        return first is True

    async def set_aside(self, event: BankEvent, *, trouble: str, at: datetime) -> None:
        """Keep an event to be looked at again, unless it is kept; its trouble is noted anyhow."""
        await _Q.set_aside(
            self._db,
            event_id=event.event_id,
            told=_told(event),
            trouble=trouble,
            look_at=at + ASIDE_FOR,
            at=at,
        )


class EventBook:
    """How far the bank's list of events is read, and which of them are in our hands."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def bank_cursor(self) -> str | None:
        """Return the event up to which we have read; None before the first."""
        cursor: str | None = await _Q.bank_cursor(self._pool)
        return cursor

    async def move_bank_cursor(self, event_id: str) -> None:
        """Note the event up to which we have read."""
        await _Q.move_bank_cursor(self._pool, event_id=event_id)

    async def seen_events(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Return those of the given events that we have dealt with or set aside."""
        rows = _Q.seen_events(self._pool, event_ids=list(event_ids))
        return frozenset([row["event_id"] async for row in rows])


class Hints:
    """Deliveries of the bank and the events that wait; many processes may use them at once."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def keep_delivery(self, body: bytes, *, signed_by: int, at: datetime) -> bool:
        """Keep a body as it came, in one transaction; False if the very same was kept before."""
        first = await _Q.keep_delivery(
            self._pool,
            delivery_id=sha256(body).digest(),
            body=body,
            signed_by=signed_by,
            at=at,
        )
        return first is True

    async def open_delivery(self, *, at: datetime) -> bool:
        """Open the oldest delivery and put its events where they are looked at.

        Returns whether there was one. One that cannot be read is opened too, with its trouble, and
        does not stop the others.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            row = await _Q.lock_delivery(connection)
            if row is None:
                return False
            trouble = await _open(connection, row["body"], at=at)
            if trouble is not None:
                log.error("delivery.troubled", delivery=row["delivery_id"].hex(), trouble=trouble)
            await _Q.note_opened(connection, delivery_id=row["delivery_id"], trouble=trouble, at=at)
        return True

    async def claim(self, *, at: datetime, until: datetime, limit: int) -> list[Hint]:
        """Take events whose time has come; nobody else takes them before ``until``."""
        rows = _Q.claim_hints(self._pool, at=at, lease_until=until, batch=limit)
        return [
            Hint(
                event=_event(row["told"]),
                heard_at=row["heard_at"],
                looks=row["looks"],
                known=row["known"],
            )
            async for row in rows
        ]

    async def end(self, event_ids: Sequence[str], *, at: datetime) -> None:
        """Note that events were dealt with."""
        await _Q.end_hints(self._pool, event_ids=list(event_ids), at=at)

    async def postpone(self, event_id: str, *, look_at: datetime, trouble: str | None) -> None:
        """Look at an event again later."""
        await self._postpone(event_id, HintState.WAITING, look_at, trouble)

    async def ask(self, event_id: str, *, trouble: str | None, at: datetime) -> None:
        """Leave an event to a person."""
        await self._postpone(event_id, HintState.ASKED, at, trouble)

    async def _postpone(
        self, event_id: str, state: HintState, look_at: datetime, trouble: str | None
    ) -> None:
        await _Q.postpone_hint(
            self._pool, event_id=event_id, state=state.value, look_at=look_at, trouble=trouble
        )

    async def forget(self, *, before: datetime) -> None:
        """Remove what was opened and dealt with before an instant; names of events stay."""
        await _Q.forget_deliveries(self._pool, before=before)
        await _Q.forget_hints(self._pool, before=before)

    async def waiting(self, *, at: datetime) -> WaitingNews:
        """Say how much waits, and how old the oldest of it is."""
        row = await _Q.waiting_news(self._pool)
        oldest = row["oldest_at"]
        return WaitingNews(
            deliveries=row["deliveries"],
            events=row["events"],
            asked=row["asked"],
            oldest_age=timedelta() if oldest is None else max(at - oldest, timedelta()),
        )

    async def asked(self, *, after: str, limit: int) -> list[AskedHint]:
        """Return events that a person has to look at, by name."""
        rows = _Q.asked_hints(self._pool, after=after, batch=limit)
        return [
            AskedHint(
                event=_event(row["told"]),
                heard_at=row["heard_at"],
                looks=row["looks"],
                trouble=row["trouble"],
            )
            async for row in rows
        ]

    async def answer(
        self, event_id: str, *, again: bool, answered_by: str, because: str, at: datetime
    ) -> bool:
        """Keep a person's word on an event: done with, or to be looked at ``again``.

        Returns whether the event waited for one. One that is done with is never dealt with again.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            state = HintState.WAITING if again else HintState.DONE
            found = await _Q.answer_hint(
                connection,
                event_id=event_id,
                state=state.value,
                answered_by=answered_by,
                because=because,
                at=at,
            )
            if found is not True:
                return False
            if not again:
                await EventDesk(connection).first_time(
                    event_id, resource="answered", action="answered", at=at
                )
        return True


async def _open(connection: asyncpg.Connection, body: bytes, *, at: datetime) -> str | None:
    """Put a body's events where they are looked at; return what was wrong, if anything was."""
    try:
        delivery = hook_wire.delivery(body)
    except BankGarbledError as error:
        return error.reason
    await _Q.add_hints(
        connection,
        event_ids=[event.event_id for event in delivery.events],
        told=[_told(event) for event in delivery.events],
        at=at,
    )
    return "nameless_event" if delivery.nameless else None


def _told(event: BankEvent) -> str:
    return json.dumps(asdict(event) | {"links": dict(event.links)})


def _event(told: str) -> BankEvent:
    """Return an event as it was told; what another version of us knew besides is passed over."""
    said: dict[str, Any] = json.loads(told)
    return BankEvent(**{name: value for name, value in said.items() if name in _FIELDS})
