"""The outbox in PostgreSQL: messages are born with their cause, claimed one by one, and marked.

There is no "sent up to here": two transactions commit in another order than they drew their
numbers, and whatever was counted past would never be told.
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import asyncpg

import sql
from billing.contact import Contact
from billing.io import contacts
from billing.message import LEASE, Channel, Claimed, Kind, Message, Outcome, State

_Q: Final = sql.queries("messages")

# Before every message that is stuck.
FIRST: Final = (datetime(1999, 12, 31, tzinfo=UTC), "", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxFigures:
    """How many messages wait, since when the oldest, and how many a person must look at."""

    waiting: int
    oldest_at: datetime | None
    stuck: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """Messages that wait to be sent; many processes may send them at once."""

    pool: asyncpg.Pool

    async def claim(self, *, at: datetime) -> Claimed | None:
        """Take one message that is due; nobody else gets it before its lease has run out."""
        lease_until = at + LEASE
        row = await _Q.claim_message(self.pool, at=at, lease_until=lease_until)
        if row is None:
            return None
        return Claimed(
            message=message_of(row),
            tries=row["tries"],
            queued_at=row["queued_at"],
            lease_until=lease_until,
        )

    async def settle(self, claimed: Claimed, outcome: Outcome, *, at: datetime) -> bool:
        """Mark what became of a message; False if somebody else has gone on with it."""
        marked = await _Q.settle_message(
            self.pool,
            account_id=claimed.message.account_id,
            message_id=claimed.message.message_id,
            lease_until=claimed.lease_until,
            state=outcome.state.value,
            tries=outcome.tries,
            next_try_at=outcome.next_try_at,
            trouble=outcome.trouble,
            at=at,
        )
        return marked is True

    async def reader(self, message: Message) -> Contact | None:
        """Return whom a message is for."""
        return await contacts.reader(self.pool, message.account_id, message.to_revision)

    async def still_true(self, message: Message) -> bool:
        """Say whether what a message announces is still to come; only a notice announces."""
        if message.kind is not Kind.NOTICE:
            return True
        about = message.about
        planned = await _Q.notice_is_true(
            self.pool,
            account_id=message.account_id,
            bill_no=about["bill_no"],
            attempt=about["attempt"],
            amount_minor=about["amount_minor"],
            charge_on=date.fromisoformat(about["charge_on"]),
        )
        return planned is True

    async def publish(self, claimed: Claimed, *, at: datetime) -> bool:
        """Let a message stand in the API alone; False if it was sent meanwhile."""
        published = await _Q.publish_message(
            self.pool,
            account_id=claimed.message.account_id,
            message_id=claimed.message.message_id,
            at=at,
        )
        return published is True

    async def forget(self, *, at: datetime, limit: int) -> int:
        """Forget addresses that were replaced long ago; return how many."""
        return await contacts.forget(self.pool, at=at, limit=limit)

    async def figures(self) -> OutboxFigures:
        """Count what waits."""
        return OutboxFigures(**dict(await _Q.message_figures(self.pool)))


def message_of(row: Any) -> Message:  # noqa: ANN401 - the driver's row has no type
    """Return a message from its row."""
    return Message(
        account_id=row["account_id"],
        message_id=row["message_id"],
        kind=Kind(row["kind"]),
        about=json.loads(row["about"]),
        to_revision=row["to_revision"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A message as its reader finds it in the API."""

    message: Message
    channel: Channel
    state: State
    queued_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A message that waits for a relay or, if it is failed or given up, for a person."""

    account_id: str
    message_id: str
    kind: str
    state: str
    tries: int
    trouble: str | None
    queued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageViews:
    """What was told, and what could not be."""

    pool: asyncpg.Pool

    async def told(self, account_id: str, *, before: tuple[datetime, str], page: int) -> list[Told]:
        """Return a page of what a resident was told, newest first."""
        rows = _Q.list_messages(
            self.pool, account_id=account_id, before_at=before[0], before_id=before[1], page=page
        )
        return [
            Told(
                message=message_of(row),
                channel=Channel(row["channel"]),
                state=State(row["state"]),
                queued_at=row["queued_at"],
                delivered_at=row["delivered_at"],
            )
            async for row in rows
        ]

    async def stuck(self, *, after: tuple[datetime, str, str], page: int) -> list[Stuck]:
        """Return a page of messages that wait for a person, the oldest first."""
        rows = _Q.list_stuck(
            self.pool, after_at=after[0], after_account=after[1], after_id=after[2], page=page
        )
        return [Stuck(**dict(row)) async for row in rows]

    async def waiting(self, *, page: int) -> list[Stuck]:
        """Return messages that wait for a relay, the oldest first."""
        return [Stuck(**dict(row)) async for row in _Q.list_waiting(self.pool, page=page)]

    async def send_again(
        self, account_id: str, message_id: str | None = None, *, at: datetime
    ) -> int:
        """Let what is stuck be sent again to the contact that holds now; return how many.

        With a ``message_id`` that one message alone.
        """
        rows = _Q.send_again(self.pool, account_id=account_id, message_id=message_id, at=at)
        return len([row async for row in rows])
