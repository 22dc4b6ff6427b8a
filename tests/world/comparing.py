"""Comparing with the bank in the town: a statement every morning, and a daily run in each service.

The account to which the bank pays out is kept by another bank, whose statements are written here:
a line stays shown once it was, and money that came back leaves by a line of its own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Final

from billing.bank_recon import import_statement, reconcile_bank
from billing.follow import follow
from billing.iso.camt053 import Statement, read
from billing.recover import recover
from simulators.bank import statement
from simulators.bank.statement import Line
from tests.world.loop import Process
from tests.world.memory_recon import MemoryBooks
from tests.world.memory_store import MemoryDebits
from tests.world.town import DAY_S, LIMIT, PATIENT_PAUSE_S, ZONE, World

DAY: Final = timedelta(days=1)
# A payout that is not on the account four days after its day is missed; one may come as late.
LATE_DAYS: Final = timedelta(days=6)
# The service whose turn it is to compare.
FIRST: Final = "service-0"
Show = Callable[[Line], list[Line]]


def as_it_is(line: Line) -> list[Line]:
    """Show a line on its day, as it is."""
    return [line]


@dataclass(slots=True)
class Comparing:
    """The statements of the town's account, and the runs that read them.

    ``show`` is how the account's bank shows a line, whole and on its day or otherwise.
    ``everywhere`` lets every service compare, and not the first one only.
    """

    world: World
    show: Show = as_it_is
    everywhere: bool = False
    lines: list[Line] = field(default_factory=list)
    files: dict[date, bytes] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def write(self) -> None:
        """Write the statement of every day that is over and has none."""
        bank = self.world.bank
        bank.catch_up()
        today = bank.clock.now().date()
        day = max(self.files) + DAY if self.files else self.world.loop.start.date()
        while day < today:
            self._book(day)
            before = [one for one in self.lines if one.booked_on < day]
            found = [one for one in self.lines if one.booked_on == day]
            self.files[day] = statement.write(bank.bank, day, before, found)
            day += DAY

    def _book(self, day: date) -> None:
        """Book what moved until a day and was not booked before."""
        for line in statement.lines(self.world.bank.bank):
            if line.booked_on <= day and line.entry_ref not in self._seen:
                self._seen.add(line.entry_ref)
                self.lines += self.show(replace(line, booked_on=day))
        for payout in self.world.bank.documents("payouts"):
            name = f"{payout['id']}-B"
            came = [one for one in self.lines if one.reference == payout["reference"]]
            if payout["status"] == "bounced" and came and name not in self._seen:
                self._seen.add(name)
                minor = -sum(one.amount_minor for one in came)
                back = replace(came[0], entry_ref=name, booked_on=day, amount_minor=minor)
                self.lines.append(back)

    def statements(self, covered_until: date | None) -> list[Statement]:
        """Return the statements behind a day, the oldest first."""
        self.write()
        return [
            one
            for day in sorted(self.files)
            if covered_until is None or day > covered_until
            for one in read(self.files[day])
        ]

    def came_minor(self, payout: dict[str, Any]) -> int:
        """Return what the statements have shown of a payout until now."""
        shown = max(self.files, default=date.min)
        return sum(
            one.amount_minor
            for one in self.lines
            if one.reference == payout["reference"] and one.booked_on <= shown
        )

    def wants(self, service: str) -> bool:
        """Tell whether a service compares; one of them is enough, as in the town."""
        return self.everywhere or service == FIRST

    async def go(self, process: Process) -> None:
        """Compare again and again, in one service, for as long as it lives."""
        world = self.world
        async with world.client() as bank:
            store = MemoryDebits(world.db, pool=world.pool)
            # Where nothing is wrong with payouts, some towns leave a morning or two out.
            usual = self.show is as_it_is and not self.everywhere
            every = world.rng.choice((1, 2, 3)) if usual else 1
            while True:
                pause_s = PATIENT_PAUSE_S if world.patient else DAY_S * every
                await asyncio.sleep(pause_s * (0.5 + world.rng.random()))
                await world.guarded(process, self._compare(process, store, bank))

    async def _compare(self, process: Process, store: MemoryDebits, bank: Any) -> None:
        """Do what the service's process does: statements, the bank's news, the three sides."""
        at = self.world.at + process.skew
        books = MemoryBooks(store)
        found = self.statements(await books.covered_until())
        if found:
            await import_statement(store=books, statements=found, at=at)
        await follow(store=store, bank=bank, at=at, limit=LIMIT)
        await reconcile_bank(store=books, debits=store, bank=bank, at=at, zone=ZONE)
        await recover(store=store, at=at, limit=LIMIT)

    def done(self) -> bool:
        """Tell whether the day of every payout is compared, and more where one may be late."""
        grace = DAY if self.show is as_it_is else LATE_DAYS
        days = self.world.db.rows["recon_day"].values()
        until = max((row.day for row in days if row.read_at and row.statement_at), default=None)
        return until is not None and all(
            date.fromisoformat(payout["arrival_date"]) + grace <= until
            for payout in self.world.bank.documents("payouts")
        )
