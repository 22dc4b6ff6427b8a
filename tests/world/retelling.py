"""The bank's news told again, in another order, to copies of what the service knew: I9 in full.

At some instant the database is copied. When all is over, one copy is told everything that has
happened since in the bank's order, one in any order, several times and in heaps; then the first one
is told everything once more, as if it remembered no event. All must know the same of money.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from billing.bank import BankEvent
from billing.follow import take_events
from billing.mandate import ENDED, Enrolment, Mandate
from tests.world.engine import Database
from tests.world.loop import Process
from tests.world.memory import tables
from tests.world.memory_store import MemoryDebits
from tests.world.town import DAY_S, World

PAGE: Final = 500
# What became of an event that has to be told again.
UNDONE: Final = frozenset({"silent", "unknown"})
# That a payout has borne a refund is forgotten if it is told before the refund is paid; no money
# hangs on it (docs/simulation.md).
PAID: Final = {"settled": "paid"}


def copied(db: Database) -> Database:
    """Return another database with the same rows; whatever befalls one leaves the other alone."""
    other = Database(tables())
    for table, rows in db.rows.items():
        for key, row in rows.items():
            other.apply(table, key, row)
    other.now = db.now
    return other


def known(db: Database) -> dict[str, Any]:
    """Return what a database knows of debits, refunds and money, however it came to know it."""
    net: Counter[str] = Counter()
    for row in db.rows["transfer"].values():
        for code, sign in ((str(row.debit_code), 1), (str(row.credit_code), -1)):
            phase = "posted" if str(row.phase) == "posted" else "pending"
            way_back = -1 if str(row.phase) == "void" else 1
            name = f"{row.account_id} {row.bill_no} {code} {phase}"
            net[name] += sign * way_back * row.amount_minor
    said: Counter[str] = Counter()
    for account_id, message_id in db.rows["message"]:
        kind, _, about = message_id.partition("/")
        if kind in {"receipt", "correction"}:
            debit = "/".join(about.split("/")[:2])
            said[f"{account_id} {debit}"] += 1 if kind == "receipt" else -1
    debits = {
        f"debit {'/'.join(map(str, key))}": (str(row.state), row.bank_payment_id)
        for key, row in db.rows["debit"].items()
    }
    refunds = {
        f"refund {'/'.join(map(str, key))}": (
            PAID.get(str(row.state), str(row.state)),
            row.amount_minor,
        )
        for key, row in db.rows["refund"].items()
    }
    mandates = {
        f"mandate {'/'.join(key)}": str(row.state) for key, row in db.rows["mandate"].items()
    }
    return {
        **{name: minor for name, minor in net.items() if minor},
        **{f"receipts {name}": count for name, count in said.items() if count},
        **debits,
        **refunds,
        **mandates,
    }


@dataclass(slots=True)
class Retelling:
    """A copy of the database at an instant, and what is done with it at the end."""

    world: World
    process: Process = field(default_factory=lambda: Process("retelling"))
    before: Database | None = None
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"retelling {self.world.seed}")  # noqa: S311 - chance

    async def remember(self) -> None:
        """Copy the database at some instant of the days in which everything goes wrong."""
        await asyncio.sleep(DAY_S * self.rng.uniform(1.0, self.world.chaos_days))
        self.before = copied(self.world.db)

    async def compare(self) -> list[str]:
        """Tell both copies everything, and return in what they differ."""
        if self.before is None:
            return []
        return await self.world.loop.spawn(self.process, self._compare(self.before))

    async def _compare(self, before: Database) -> list[str]:
        in_order, anyhow = copied(before), copied(before)
        async with self.world.client() as bank:
            events = await self._events(bank)
            await self._tell(in_order, bank, [[event] for event in events])
            await self._tell(anyhow, bank, self._heaps(events))
            rested = _rested(before, in_order)
            wrong = [
                line
                for line in _differences("in another order", known(in_order), known(anyhow))
                if not any(account_id in line for account_id in rested)
            ]
            once = known(in_order)
            in_order.rows["bank_event"].clear()
            await self._tell(in_order, bank, [[event] for event in events])
            wrong += _differences("told once more", once, known(in_order))
        self.world.network.struck["retold"] += len(events)
        return wrong

    async def _events(self, bank: Any) -> list[BankEvent]:
        """Return all events of the bank, the oldest first."""
        found: list[BankEvent] = []
        after = None
        while True:
            page = await bank.list_events(after=after, limit=PAGE)
            found += page.events
            after = page.after
            if after is None:
                return found[::-1]

    def _heaps(self, events: list[BankEvent]) -> list[list[BankEvent]]:
        """Return events in any order, some of them several times, in heaps of any size."""
        left = [*events, *self.rng.sample(events, len(events) // 3)]
        self.rng.shuffle(left)
        heaps = []
        while left:
            size = self.rng.choice((1, 1, 2, 5, 20))
            heap = {event.event_id: event for event in left[:size]}
            heaps.append(list(heap.values()))
            left = left[size:]
        return heaps

    async def _tell(self, db: Database, bank: Any, heaps: list[list[BankEvent]]) -> None:
        """Tell events that are not known; those that led nowhere yet, once more at last."""
        store = MemoryDebits(db)
        late: list[BankEvent] = []
        for heap in [*heaps, late]:
            seen = await store.seen_events([event.event_id for event in heap])
            fresh = [event for event in heap if event.event_id not in seen]
            if fresh:
                said = await take_events(store, bank, fresh, at=self.world.at)
                if heap is not late:
                    late += [one for one in fresh if said[one.event_id] in UNDONE]


def _rested(before: Database, after: Database) -> frozenset[str]:
    """Return the accounts whose mandate rests or ends by the news alone.

    What of theirs is not on its way by then is taken back, so for them the order of news matters.
    """

    def usable(row: Mandate) -> bool:
        return row.enrolment is Enrolment.ACTIVE and row.state not in ENDED

    was = {key for key, row in before.rows["mandate"].items() if usable(row)}
    rows = after.rows["mandate"].items()
    return frozenset(key[0] for key, row in rows if key in was and not usable(row))


def _differences(what: str, one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [
        f"I9 {name} is {one.get(name)}, and {what} it is {other.get(name)}"
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]
