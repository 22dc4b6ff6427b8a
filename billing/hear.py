"""Hearing: what the bank has delivered, event by event, long after the delivery was answered.

    open      a kept body becomes events that wait             (our transaction)
    claim     events whose time has come, under a lease        (our transaction)
    take      the same way as events of the list: ``billing/follow.py`` reads the resource afresh
    keep      dealt with, or when to look again, or a person's (our transaction)

A process may die between any two of these; the lease runs out and the next one goes on. Each event
has its effect once, because its name is kept in the transaction of the effect.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from billing.bank import BankError
from billing.follow import FollowBank, FollowStore, take_events
from billing.webhook import BODIES_KEPT, Hint, next_look

log = structlog.get_logger()

# Longer than a batch of questions to a slow bank takes.
LEASE: Final = timedelta(minutes=5)
# What became of an event that has to be looked at again, and the trouble if it is not noted yet.
_AGAIN: Final = {"silent": "silent", "unknown": None, "broke": "broke"}


class HintStore(Protocol):
    """Where deliveries and the events in them wait."""

    async def open_delivery(self, *, at: datetime) -> bool:
        """Open the oldest delivery and put its events where they are looked at."""

    async def claim(self, *, at: datetime, until: datetime, limit: int) -> list[Hint]:
        """Take events whose time has come."""

    async def end(self, event_ids: Sequence[str], *, at: datetime) -> None:
        """Note that events were dealt with."""

    async def postpone(self, event_id: str, *, look_at: datetime, trouble: str | None) -> None:
        """Look at an event again later."""

    async def ask(self, event_id: str, *, trouble: str | None, at: datetime) -> None:
        """Leave an event to a person."""

    async def forget(self, *, before: datetime) -> None:
        """Remove what was dealt with before an instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HearCounts:
    """What one batch did: deliveries ``opened``, and of their events as ``follow`` counts them.

    ``asked`` events are a person's from now on; they are counted in what they were besides.
    """

    opened: int = 0
    moved: int = 0
    unchanged: int = 0
    foreign: int = 0
    repeated: int = 0
    silent: int = 0
    contradicted: int = 0
    unknown: int = 0
    broke: int = 0
    asked: int = 0


async def hear(
    *, hints: HintStore, store: FollowStore, bank: FollowBank, at: datetime, limit: int
) -> HearCounts:
    """Open up to ``limit`` deliveries and deal with up to ``limit`` of the events that wait."""
    counts: Counter[str] = Counter()
    while counts["opened"] < limit and await hints.open_delivery(at=at):
        counts["opened"] += 1
    claimed = await hints.claim(at=at, until=at + LEASE, limit=limit)
    known = [hint.event.event_id for hint in claimed if hint.known]
    counts["repeated"] += len(known)
    await hints.end(known, at=at)
    fresh = [hint for hint in claimed if not hint.known]
    try:
        outcomes = await take_events(store, bank, [hint.event for hint in fresh], at=at)
    except BankError as error:
        log.warning("hear.silent", reason=error.reason)
        outcomes = dict.fromkeys((hint.event.event_id for hint in fresh), "silent")
    counts.update(outcomes.values())
    await hints.end([name for name, outcome in outcomes.items() if outcome not in _AGAIN], at=at)
    for hint in fresh:
        outcome = outcomes[hint.event.event_id]
        if outcome in _AGAIN:
            counts["asked"] += await _again(hints, hint, _AGAIN[outcome], at=at)
    await hints.forget(before=at - BODIES_KEPT)
    done = {name: count for name, count in counts.items() if count}
    if done:
        log.info("hear.done", **done)
    return HearCounts(**done)


async def _again(hints: HintStore, hint: Hint, trouble: str | None, *, at: datetime) -> bool:
    """Postpone an event that led nowhere; return whether it is a person's now."""
    look_at = next_look(hint, at=at)
    if look_at is not None:
        await hints.postpone(hint.event.event_id, look_at=look_at, trouble=trouble)
        return False
    log.error("event.unexplained", event_id=hint.event.event_id)
    await hints.ask(hint.event.event_id, trouble=trouble, at=at)
    return True
