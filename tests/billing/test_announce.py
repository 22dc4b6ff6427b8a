"""Planned, told, held and let go: announcing against a real database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

import asyncpg
import pytest

from billing.announce import NoticeCounts
from billing.debit import Debit
from billing.enrol import change_caps
from billing.io.debits import Debits, Desk
from billing.mandate import Caps
from tests.billing.debit_town import ISSUED, TO_RECORD, DebitTown, day, recorded, told


@dataclass
class Letters:
    """What the post has done: which letters were written, and when each was delivered."""

    written: list[tuple[date, int]] = field(default_factory=list)
    delivered: dict[date, datetime] = field(default_factory=dict)


class LetterDesk(Desk):
    """A desk whose notices go by post."""

    letters: Letters

    async def tell_notice(self, debit: Debit, *, at: datetime) -> datetime | None:  # noqa: ARG002 - the post has its own hour
        """Write a letter for each promise once; it counts when it is delivered."""
        promise = (debit.charge_on, debit.amount_minor)
        if promise not in self.letters.written:
            self.letters.written.append(promise)
        return self.letters.delivered.get(debit.charge_on)


class LetterStore(Debits):
    """Debits whose notices go by post."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        super().__init__(pool)
        self.letters = Letters()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Desk]:
        """Open one transaction, with the post at hand."""
        async with self._pool.acquire() as connection, connection.transaction():
            desk = LetterDesk(connection)
            desk.letters = self.letters
            yield desk


@pytest.fixture
def post(pool: asyncpg.Pool) -> LetterStore:
    return LetterStore(pool)


DUE = date(2026, 2, 25)


class TestALetter:
    """A notice that goes by post ..."""

    async def test_counts_when_it_is_delivered(self, town: DebitTown, post: LetterStore) -> None:
        """Written on the second, delivered on the third: told on the third, not before."""
        await town.home()

        assert await told(post) == NoticeCounts(planned=1)
        assert await town.states() == ["2026-01/1 planned"]
        assert await town.owner.fetchval("SELECT count(*) FROM notice") == 0
        post.letters.delivered[DUE] = day("02-03", 12)

        assert await told(post, day("02-03", 13)) == NoticeCounts(noticed=1)
        assert await town.owner.fetchval("SELECT noticed_at FROM notice") == day("02-03", 12)

    async def test_is_written_once(self, town: DebitTown, post: LetterStore) -> None:
        """Looking again writes nothing again."""
        await town.home()
        for hour in range(9, 15):
            await told(post, day("02-02", hour))

        assert post.letters.written == [(DUE, 74_297)]
        assert await town.states() == ["2026-01/1 planned"]

    async def test_is_not_recorded_before(self, town: DebitTown, post: LetterStore) -> None:
        """The day of the charge comes nearer, and nobody was told: nothing is taken."""
        await town.home()
        await told(post)

        assert (await recorded(post, TO_RECORD)).recorded == 0
        assert await town.states() == ["2026-01/1 planned"]

    async def test_that_does_not_come_moves_the_day(
        self, town: DebitTown, post: LetterStore
    ) -> None:
        """On the 21st the 25th cannot be kept any more: another letter, for the Monday after."""
        await town.home()
        await told(post)

        await told(post, day("02-21"))

        assert await town.states() == ["2026-01/1 planned notice_undelivered"]
        assert post.letters.written == [(DUE, 74_297), (date(2026, 3, 2), 74_297)]
        post.letters.delivered[date(2026, 3, 2)] = day("02-22")
        await told(post, day("02-22"))
        assert await town.states() == ["2026-01/1 noticed"]
        assert await town.owner.fetchval("SELECT charge_on FROM notice") == date(2026, 3, 2)

    async def test_that_comes_late_is_written_anew(
        self, town: DebitTown, post: LetterStore
    ) -> None:
        """Delivered on the 22nd it promises the 25th: three days are not five."""
        await town.home()
        await told(post)
        post.letters.delivered[DUE] = day("02-22", 8)

        await told(post, day("02-22"))

        assert await town.states() == ["2026-01/1 planned notice_undelivered"]
        assert await town.owner.fetchval("SELECT count(*) FROM notice") == 0


class TestAHold:
    """A debit is held ..."""

    async def habit(self, town: DebitTown, *totals: int, first: int = 1) -> None:
        """Put paid bills of 2025 there, one a month."""
        await town.account()
        await town.mandate()
        for month, total in enumerate(totals, start=first):
            bill_no = f"2025-{month:02}"
            await town.bill(bill_no=bill_no, total_minor=total, due_on=date(2025, 12, 25))
            await town.transfer("ACC-1", bill_no, "paid", "bank", "receivable", total)

    async def test_when_it_is_above_the_habit(self, town: DebitTown, store: Debits) -> None:
        """Last January cost 29 718 tiyn; 74 297 is more than two and a half times that."""
        await self.habit(town, 29_718)
        await town.bill()

        assert await told(store) == NoticeCounts(held=1)
        assert await town.states() == ["2026-01/1 held anomaly"]
        assert await town.steps() == ["planned", "held"]

    async def test_not_at_the_habit(self, town: DebitTown, store: Debits) -> None:
        """One tiyn more a year ago, and it is two and a half times at most."""
        await self.habit(town, 29_719)
        await town.bill()

        assert await told(store) == NoticeCounts(noticed=1)

    async def test_not_by_a_bill_that_was_taken_back(self, town: DebitTown, store: Debits) -> None:
        """A cancelled bill says nothing about what an account usually pays."""
        await self.habit(town, 100)
        await town.owner.execute(
            "INSERT INTO bill VALUES ('ACC-1', '2025-01-2', '2025-01-01', '2025-02-01', 2, -1,"
            " -100, 0, -100, 'KZT', $1, '2026-02-25', 'cancellation', '2025-01')",
            ISSUED,
        )
        await town.bill()

        assert await told(store) == NoticeCounts(noticed=1)

    async def test_for_an_estimated_register(self, town: DebitTown, store: Debits) -> None:
        """Nobody read the meter; the resident says yes first."""
        await town.home()
        await town.estimate()

        assert await told(store) == NoticeCounts(held=1)
        assert await town.states() == ["2026-01/1 held estimated"]

    async def test_until_its_resident_approves(self, town: DebitTown, store: Debits) -> None:
        """Approved on the third: announced on the third, with days counted from there."""
        await town.home()
        await town.estimate()
        await told(store)
        await town.approve(74_297)

        assert await told(store, day("02-23")) == NoticeCounts(noticed=1)
        assert await town.steps() == ["planned", "held", "planned", "noticed"]
        assert await town.owner.fetchval("SELECT charge_on FROM notice") == date(2026, 3, 2)

    async def test_when_it_is_over_the_cap_of_the_month_in_which_the_bank_takes_it(
        self, town: DebitTown, store: Debits
    ) -> None:
        """Due on the 28th of February, a Saturday, it is taken in March, as the other one is."""
        await town.account()
        await town.mandate(payment_minor_max=100_000, month_minor_max=100_000)
        await town.bill(due_on=date(2026, 2, 28))
        await town.bill(bill_no="2026-02", due_on=date(2026, 3, 26))

        await told(store)

        assert await town.states() == ["2026-01/1 noticed", "2026-02/1 held over_month_cap"]

    async def test_in_dispute_until_that_ends(self, town: DebitTown, store: Debits) -> None:
        """Disputed after the notice: held when its day comes, told anew when the dispute ends."""
        await town.home()
        await told(store)
        await town.dispute()

        assert (await recorded(store)).held == 1
        assert await town.states() == ["2026-01/1 held disputed"]
        assert await told(store, day("02-24")) == NoticeCounts()
        await town.owner.execute(
            "INSERT INTO bill_dispute_end VALUES ('ACC-1', '2026-01', '2026-02-03', '2026-02-25',"
            " 'the meter is right', 'a clerk', $1)",
            day("02-25"),
        )

        assert await told(store, day("02-25")) == NoticeCounts(noticed=1)
        rows = await town.owner.fetch("SELECT notice_no, charge_on FROM notice ORDER BY notice_no")
        assert [tuple(row) for row in rows] == [(1, DUE), (2, date(2026, 3, 2))]

    async def test_for_a_month_at_most(self, town: DebitTown, store: Debits) -> None:
        """Thirty days held: given up, and the resident pays by hand; nothing is asked again."""
        await town.account()
        await town.mandate(payment_minor_max=1)
        await town.bill()
        await told(store)

        assert await told(store, day("03-04", 8)) == NoticeCounts()
        assert await told(store, day("03-04", 9)) == NoticeCounts(exhausted=1)
        assert await town.states() == ["2026-01/1 exhausted hold_expired"]
        await change_caps(
            store=store,
            account_id="ACC-1",
            mandate_id="M-1",
            caps=Caps(payment_minor_max=80_000, month_minor_max=80_000),
            at=day("03-05"),
        )
        assert await told(store, day("03-05")) == NoticeCounts()

    async def test_for_the_next_reason_too(self, town: DebitTown, store: Debits) -> None:
        """The cap was raised, and an estimate shows up: held on, for what is true now."""
        await town.account()
        await town.mandate(payment_minor_max=1)
        await town.bill()
        await told(store)
        await town.estimate()
        await change_caps(
            store=store,
            account_id="ACC-1",
            mandate_id="M-1",
            caps=Caps(payment_minor_max=80_000, month_minor_max=80_000),
            at=day("02-03"),
        )
        await told(store, day("02-03"))

        assert await town.states() == ["2026-01/1 held estimated"]
        assert await town.steps() == ["planned", "held", "planned", "held"]
