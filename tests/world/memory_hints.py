"""Deliveries of the bank and the events in them, in memory; see billing/io/bank_events.py."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Final

from billing.bank import BankGarbledError
from billing.io import hook_wire
from billing.webhook import Hint
from tests.world.memory import HintRow
from tests.world.memory_store import MemoryDebits

_WAITING: Final = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One row of webhook_delivery."""

    body: bytes
    signed_by: int
    received_at: datetime
    last_received_at: datetime
    times: int = 1
    handled_at: datetime | None = None
    trouble: str | None = None


class MemoryHints:
    """Hints on the same pool of connections as the debits."""

    def __init__(self, store: MemoryDebits) -> None:
        self._store = store

    async def keep_delivery(self, body: bytes, *, signed_by: int, at: datetime) -> bool:
        """Keep a signed body as it came, and say whether it is the first time."""
        key = (sha256(body).digest(),)
        row = Delivery(body=body, signed_by=signed_by, received_at=at, last_received_at=at)
        async with self._store.begin() as desk:
            await desk.tx.statement()
            if await desk.tx.insert("webhook_delivery", key, row):
                return True
            now: Delivery = desk.tx.get("webhook_delivery", key)
            last = max(now.last_received_at, at)
            again = replace(now, times=now.times + 1, last_received_at=last)
            await desk.tx.update("webhook_delivery", key, again)
        return False

    async def open_delivery(self, *, at: datetime) -> bool:
        """Open the oldest delivery that nobody has in hand."""
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            waiting = [
                (row.received_at, key, row)
                for key, row in self._store.db.rows["webhook_delivery"].items()
                if row.handled_at is None
            ]
            for _, key, row in sorted(waiting, key=lambda one: one[:2]):
                if not tx.try_lock("webhook_delivery", key):
                    continue
                trouble = None
                try:
                    delivery = hook_wire.delivery(row.body)
                except BankGarbledError as error:
                    trouble = error.reason
                else:
                    trouble = "nameless_event" if delivery.nameless else None
                    await tx.statement()
                    for event in delivery.events:
                        if tx.get("bank_event", (event.event_id,)) is None:
                            hint = HintRow(event=event, heard_at=at, look_at=at)
                            await tx.insert("bank_hint", (event.event_id,), hint)
                opened = replace(row, handled_at=at, trouble=trouble)
                await tx.update("webhook_delivery", key, opened)
                return True
        return False

    async def claim(self, *, at: datetime, until: datetime, limit: int) -> list[Hint]:
        """Take events whose time to be looked at has come."""
        found = []
        async with self._store.begin() as desk:
            tx = desk.tx
            await tx.statement()
            due = [
                row for row in tx.scan("bank_hint") if row.state == _WAITING and row.look_at <= at
            ]
            due.sort(key=lambda row: (row.look_at, row.event.event_id))
            for row in due:
                key = (row.event.event_id,)
                if len(found) < limit and tx.try_lock("bank_hint", key):
                    now = replace(row, look_at=until, looks=row.looks + 1)
                    await tx.update("bank_hint", key, now)
                    found.append(
                        Hint(
                            event=row.event,
                            heard_at=row.heard_at,
                            looks=now.looks,
                            known=tx.get("bank_event", key) is not None,
                        )
                    )
        return found

    async def end(self, event_ids: Sequence[str], *, at: datetime) -> None:
        """Note that events were dealt with."""
        for event_id in event_ids:
            await self._change(event_id, state="done", settled_at=at, trouble=None)

    async def postpone(self, event_id: str, *, look_at: datetime, trouble: str | None) -> None:
        """Look at an event again later."""
        await self._again(event_id, _WAITING, look_at, trouble)

    async def ask(self, event_id: str, *, trouble: str | None, at: datetime) -> None:
        """Leave an event to a person."""
        await self._again(event_id, "asked", at, trouble)

    async def _again(
        self, event_id: str, state: str, look_at: datetime, trouble: str | None
    ) -> None:
        row = self._store.db.rows["bank_hint"].get((event_id,))
        kept = trouble or getattr(row, "trouble", None) or "unknown_id"
        await self._change(event_id, state=state, look_at=look_at, trouble=kept)

    async def _change(self, event_id: str, **changes: object) -> None:
        async with self._store.begin() as desk:
            await desk.tx.statement()
            if desk.tx.get("bank_hint", (event_id,)) is None:
                return
            await desk.tx.lock("bank_hint", (event_id,))
            row: HintRow = desk.tx.get("bank_hint", (event_id,))
            if row.state == _WAITING:
                await desk.tx.update("bank_hint", (event_id,), replace(row, **changes))  # type: ignore[arg-type]

    async def forget(self, *, before: datetime) -> None:
        """Nothing is as old as that in a run."""
