"""The whole debit run stops, nothing fails because of it, and two people let it go on."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from billing.bank import PaymentStatus
from billing.breaker import Cause, Limits, SamePersonError, StopReleasedError, StopUnknownError
from billing.collect import NoticeCounts, RecordCounts, collect
from billing.enrol import pause
from billing.io.debits import Debits
from billing.io.run_stops import RunStops, Waiting
from billing.send import SendCounts
from billing.watch import watch
from tests.billing.debit_town import (
    ISSUED,
    TO_RECORD,
    ZONE,
    DebitTown,
    accepted,
    day,
    followed,
    recorded,
    sent,
    told,
)
from tests.billing.fake_bank import FakeBank

LIMITS = Limits()
HOMES = 20
USUAL = 32_500
# Los Angeles: 3,900 instead of 325.
TWELVE_TIMES = 390_000


@dataclass(kw_only=True)
class Run:
    """A town, its run of debits, and its breaker."""

    town: DebitTown
    store: Debits
    stops: RunStops
    bank: FakeBank = field(default_factory=FakeBank)

    async def homes(
        self,
        *,
        now_minor: int = USUAL,
        high_minor: int = USUAL,
        high: int = 0,
        before: tuple[str, ...] = (),
    ) -> None:
        """Put homes there with January's bill, some of them with another, and bills of before."""
        for number in range(HOMES):
            name = f"ACC-{number}"
            await self.town.account(name)
            await self.town.mandate(name, bank_mandate_id=f"MD{number}")
            for bill_no in before:
                await self.old_bill(name, bill_no)
            await self.town.bill(name, total_minor=high_minor if number < high else now_minor)

    async def old_bill(self, account_id: str, bill_no: str, minor: int = USUAL) -> None:
        """Put a bill of another time there, paid long ago."""
        year, month = (int(part) for part in bill_no.split("-"))
        end = date(year + month // 12, month % 12 + 1, 1)
        await self.town.owner.execute(
            "INSERT INTO bill VALUES ($1, $2, $3, $4, 1, 100000, $5, 0, $5, 'KZT', $6, $7)",
            account_id,
            bill_no,
            date(year, month, 1),
            end,
            minor,
            datetime(end.year, end.month, 2, tzinfo=UTC),
            end,
        )

    async def watch(self, at: datetime = ISSUED + timedelta(hours=1)) -> int:
        """Apply the rules; return for how many causes the run was stopped."""
        counts = await watch(store=self.stops, at=at, zone=ZONE, limits=LIMITS)
        return counts.stopped

    async def compared(self, first: date, last: date, *, statement: bool = True) -> None:
        """Let the books of some days agree with the bank's, and those of the next ones not."""
        await self.town.owner.execute(
            "INSERT INTO recon_day (day, statement_at, agreed_at)"
            " SELECT d, CASE WHEN $3 THEN d END, CASE WHEN d <= $2 THEN d END"
            " FROM generate_series($1::date, $2::date + 3, interval '1 day') AS d"
            " ON CONFLICT (day) DO UPDATE SET agreed_at = excluded.agreed_at",
            first,
            last,
            statement,
        )

    async def causes(self) -> list[str]:
        """Return why the run is stopped."""
        found = await self.stops.stops(only_open=True, limit=9)
        return sorted(one.cause.value for one in found)

    async def stop(self, at: datetime = ISSUED) -> int:
        """Stop the run by hand; return the number."""
        made = await self.stops.stop_by_hand(stopped_by="Dana", because="a test", at=at)
        return made.stop_no

    async def release(self, stop_no: int, *people: str, at: datetime = TO_RECORD) -> None:
        """Let people release a stop."""
        for name in people:
            await self.stops.release(stop_no, released_by=name, because="looked", at=at)


@pytest.fixture
def run(owner: asyncpg.Connection, pool: asyncpg.Pool) -> Run:
    return Run(town=DebitTown(owner), store=Debits(pool), stops=RunStops(pool))


class TestAmounts:
    """Bills far above what their accounts are used to ..."""

    async def test_stop_the_run_before_anybody_is_told(self, run: Run) -> None:
        """Los Angeles, 2013, for two homes of twenty: not one letter and not one order."""
        await run.homes(high_minor=TWELVE_TIMES, high=2, before=("2025-01",))

        assert await run.watch() == 2
        assert await run.causes() == ["amounts", "total"]
        assert await told(run.store) == NoticeCounts()
        total, amounts = await run.stops.stops(only_open=True, limit=9)
        # 18 of 325 and two of 3,900, where twenty of 325 are usual.
        assert total.facts == {
            "currency": "KZT",
            "bills": 20,
            "now_minor": 1_365_000,
            "usual_minor": 650_000,
        }
        assert amounts.facts == {
            "currency": "KZT",
            "compared": 20,
            "high": 2,
            "high_percent_max": 5,
        }

    async def test_of_one_home_in_twenty_do_not(self, run: Run) -> None:
        """One resident has built a sauna; his debit is held by itself until he says yes."""
        await run.homes(high_minor=TWELVE_TIMES, high=1, before=("2025-01",))

        assert await run.watch() == 0
        assert await told(run.store) == NoticeCounts(noticed=19, held=1)

    async def test_of_a_new_town_do_not(self, run: Run) -> None:
        """It has nothing to compare with, and must be able to start."""
        await run.homes(now_minor=TWELVE_TIMES)

        assert await run.watch() == 0

    async def test_of_a_cold_month_after_warm_ones_do_not(self, run: Run) -> None:
        """The first winter of a town that knows three months of its autumn: nine times as much."""
        await run.homes(now_minor=9 * USUAL, before=("2025-09", "2025-10", "2025-11"))

        assert await run.watch() == 0

    async def test_of_more_than_any_winter_do(self, run: Run) -> None:
        """Twelve times is too much also without another January."""
        await run.homes(now_minor=TWELVE_TIMES, before=("2025-09", "2025-10", "2025-11"))

        assert await run.watch() == 1

    async def test_are_compared_with_the_same_season(self, run: Run) -> None:
        """Four times July is an ordinary January; four times the last January is not."""
        await run.homes(now_minor=4 * USUAL, before=("2025-06", "2025-07", "2025-08"))
        assert await run.watch() == 0
        for number in range(HOMES):
            await run.old_bill(f"ACC-{number}", "2025-01")

        assert await run.watch() == 2
        assert await run.causes() == ["amounts", "total"]

    async def test_all_of_them_a_little_are_seen_in_the_sum(self, run: Run) -> None:
        """A price that is wrong by a factor of 2.1 is above no single bill's limit."""
        await run.homes(now_minor=USUAL * 21 // 10, before=("2025-02",))

        assert await run.watch() == 1
        assert await run.causes() == ["total"]

    async def test_without_a_mandate_are_nobodys_debit(self, run: Run) -> None:
        """Who pays by hand sees his bill first."""
        await run.homes(now_minor=TWELVE_TIMES, before=("2025-01",))
        await run.town.owner.execute("UPDATE mandate SET enrolment = 'paused'")

        assert await run.watch() == 0


class TestAStoppedRun:
    """While the run is stopped ..."""

    async def test_nothing_is_announced_recorded_or_sent(self, run: Run) -> None:
        """At each of the three steps it stays where it is; the bank is not asked for anything."""
        await run.town.home()
        first = await run.stop()
        assert await told(run.store) == NoticeCounts()
        assert await run.town.states() == []
        await run.release(first, "Olga", "Aigul")
        await told(run.store)

        second = await run.stop()
        assert await recorded(run.store) == RecordCounts()
        assert await run.town.states() == ["2026-01/1 noticed"]
        await run.release(second, "Olga", "Aigul")
        await recorded(run.store)

        third = await run.stop()
        assert await sent(run.store, run.bank) == SendCounts()
        assert await run.town.states() == ["2026-01/1 recorded"]
        assert await run.stops.waiting() == Waiting(announced=0, recorded=1)
        assert run.bank.orders == []
        await run.release(third, "Olga", "Aigul")
        assert await sent(run.store, run.bank) == SendCounts(accepted=1)
        assert len(run.bank.orders) == 1

    async def test_no_debit_fails_or_is_cancelled(self, run: Run) -> None:
        """Not sent is not failed: weeks later it is told anew, and taken on that day."""
        await run.town.home()
        await told(run.store)
        stop_no = await run.stop()
        at = TO_RECORD
        for _ in range(20):
            await collect(store=run.store, bank=run.bank, at=at, zone=ZONE, limit=9)
            at += timedelta(days=1)
        assert await run.town.steps() == ["planned", "noticed"]
        assert run.bank.orders == []
        await run.release(stop_no, "Olga", "Aigul", at=at)

        await recorded(run.store, at)
        assert await run.town.steps() == ["planned", "noticed", "planned", "noticed"]
        at += timedelta(days=2)
        await recorded(run.store, at)
        await sent(run.store, run.bank, at)
        assert await run.town.states() == ["2026-01/1 accepted"]

    async def test_what_is_under_way_is_followed(self, run: Run) -> None:
        """The bank goes on with what it has, and so do our books."""
        await accepted(run.town, run.store, run.bank)
        await run.stop()
        run.bank.tell("PM1", PaymentStatus.PAID_OUT)

        await followed(run.store, run.bank)

        assert await run.town.states() == ["2026-01/1 settled"]

    async def test_a_lost_order_is_looked_for_and_not_repeated(self, run: Run) -> None:
        """It may have been made: then it is ours. If not, it is not made now."""
        await self._lost(run, made=True)
        assert await sent(run.store, run.bank, TO_RECORD + timedelta(hours=1)) == SendCounts(
            accepted=1
        )
        assert len(run.bank.orders) == 1

    async def test_a_lost_order_that_was_never_made_waits(self, run: Run) -> None:
        """Unknown for as long as it takes; then the same key and the same bytes, once."""
        stop_no = await self._lost(run, made=False)
        at = TO_RECORD
        for _ in range(4):
            at += timedelta(hours=6)
            await sent(run.store, run.bank, at)
        assert await run.town.states() == ["2026-01/1 unknown run_stopped"]
        assert len(run.bank.orders) == 1
        await run.release(stop_no, "Olga", "Aigul", at=at)
        at += timedelta(hours=6)

        assert await sent(run.store, run.bank, at) == SendCounts(accepted=1)
        assert run.bank.orders[0] == run.bank.orders[1]

    @staticmethod
    async def _lost(run: Run, *, made: bool) -> int:
        await run.town.home()
        await told(run.store)
        await recorded(run.store)
        run.bank.script = deque(["lost"])
        await sent(run.store, run.bank)
        if not made:
            run.bank.payments.clear()
            run.bank.keys.clear()
        return await run.stop(TO_RECORD)

    async def test_a_resident_may_still_leave(self, run: Run) -> None:
        """What he takes back is taken back, stopped or not."""
        await run.town.home()
        await told(run.store)
        await recorded(run.store)
        await run.stop()

        await pause(store=run.store, account_id="ACC-1", mandate_id="M-1", at=TO_RECORD)

        assert await run.town.states() == ["2026-01/1 cancelled paused"]

    async def test_a_stop_in_the_middle_of_a_batch_holds_the_rest(self, run: Run) -> None:
        """Each lease asks anew: only what was leased goes out, two for each of eight workers."""
        await run.homes()
        await told(run.store)
        await recorded(run.store)
        inner = run.bank.create_payment

        async def stopping(body: bytes, key: str) -> object:
            await run.stop(TO_RECORD)
            return await inner(body, key)

        run.bank.create_payment = stopping  # type: ignore[method-assign, assignment]  # one bank more

        counts = await sent(run.store, run.bank)

        assert 1 <= counts.accepted <= 16
        assert await run.stops.waiting() == Waiting(announced=0, recorded=20 - counts.accepted)


class TestARelease:
    """Letting the run go on ..."""

    async def test_takes_two_different_people(self, run: Run) -> None:
        """One alone, under whatever spelling, does not set it going."""
        stop_no = await run.stop()
        await run.release(stop_no, "Olga N.")
        assert await run.store.stopped() is not None
        with pytest.raises(SamePersonError):
            await run.release(stop_no, "olga  n.")
        assert await run.store.stopped() is not None

        await run.release(stop_no, "Aigul K.")

        assert await run.store.stopped() is None
        with pytest.raises(StopReleasedError):
            await run.release(stop_no, "Third")
        with pytest.raises(StopUnknownError):
            await run.release(99, "Olga N.")

    async def test_takes_two_people_also_for_the_database(
        self, run: Run, pool: asyncpg.Pool
    ) -> None:
        """Whatever our code believes: one name twice, and a second without a first, are refused."""
        stop_no = await run.stop()
        insert = (
            "INSERT INTO run_release (stop_no, release_no, first_no, first_by, released_by,"
            " because, released_at) VALUES ($1, $2, $3, $4, $5, 'x', now())"
        )
        with pytest.raises(asyncpg.CheckViolationError, match="second_names_the_first"):
            await pool.execute(insert, stop_no, 2, None, None, "Olga")
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await pool.execute(insert, stop_no, 2, 1, "Nobody", "Olga")
        await pool.execute(insert, stop_no, 1, None, None, "Olga")
        with pytest.raises(asyncpg.CheckViolationError, match="nobody_releases_alone"):
            await pool.execute(insert, stop_no, 2, 1, "Olga", " olga ")

    async def test_by_two_at_once_counts_both(self, run: Run) -> None:
        """Ten clicks of two people: two words, and the run goes on."""
        stop_no = await run.stop()

        await asyncio.gather(
            *(run.release(stop_no, name) for name in ("Olga", "Aigul") * 5), return_exceptions=True
        )

        assert await run.store.stopped() is None
        rows = await run.town.owner.fetch("SELECT released_by FROM run_release")
        assert sorted(row[0] for row in rows) == ["Aigul", "Olga"]

    async def test_is_needed_for_every_stop(self, run: Run) -> None:
        """Two causes are two questions."""
        await run.homes(now_minor=TWELVE_TIMES, before=("2025-01",))
        assert await run.watch() == 2
        await run.release(1, "Olga", "Aigul")
        assert await run.store.stopped() is not None

        await run.release(2, "Olga", "Aigul")

        assert await run.store.stopped() is None

    async def test_holds_for_the_same_facts(self, run: Run) -> None:
        """The same bills do not stop the run again, also when half of them are sent."""
        await run.homes(high_minor=4 * USUAL, high=2, before=("2025-01",))
        await run.watch()
        await run.release(1, "Olga", "Aigul", at=ISSUED + timedelta(hours=2))

        assert await run.watch(ISSUED + timedelta(hours=3)) == 0
        await told(run.store)
        await recorded(run.store)
        assert await run.watch(TO_RECORD) == 0

    async def test_does_not_hold_for_new_ones(self, run: Run) -> None:
        """Bills that were issued after it are a matter of their own."""
        await run.homes(high_minor=4 * USUAL, high=2, before=("2025-01",))
        await run.watch()
        await run.release(1, "Olga", "Aigul", at=ISSUED + timedelta(hours=2))
        await run.town.owner.execute(
            "UPDATE bill SET issued_at = $1 WHERE bill_no = '2026-01'", ISSUED + timedelta(hours=3)
        )

        assert await run.watch(ISSUED + timedelta(hours=4)) == 1

    async def test_is_not_undone_by_ten_watchers(self, run: Run) -> None:
        """However many processes see the same, it is one stop."""
        await run.homes(high_minor=4 * USUAL, high=2, before=("2025-01",))

        found = await asyncio.gather(*(run.watch() for _ in range(10)))

        assert sum(found) == 1
        assert await run.causes() == ["amounts"]

    async def test_by_hand_is_one_stop(self, run: Run) -> None:
        """Pressed three times, released once by two."""
        assert [await run.stop() for _ in range(3)] == [1, 1, 1]
        (stop,) = await run.stops.stops(only_open=True, limit=9)
        assert (stop.cause, stop.stopped_by, stop.because) == (Cause.BY_HAND, "Dana", "a test")


class TestOutcomes:
    """What became of debits ..."""

    async def test_stops_the_run_when_too_many_come_back(self, run: Run) -> None:
        """Six of twenty in a day; afterwards the same six are no reason any more."""
        await self._sent(run)
        for number in range(1, HOMES + 1):
            if number <= 6:
                run.bank.tell(f"PM{number}", PaymentStatus.FAILED, cause="insufficient_funds")
            else:
                run.bank.tell(f"PM{number}", PaymentStatus.CONFIRMED)
        await followed(run.store, run.bank)

        assert await run.watch(TO_RECORD + timedelta(hours=1)) == 1
        (stop,) = await run.stops.stops(only_open=True, limit=9)
        assert (stop.cause, stop.facts) == (Cause.FAILURES, {"ended": 20, "failed": 6})
        await run.release(1, "Olga", "Aigul", at=TO_RECORD + timedelta(hours=2))
        assert await run.watch(TO_RECORD + timedelta(hours=3)) == 0

    async def test_lets_five_of_twenty_come_back(self, run: Run) -> None:
        """Empty accounts are ordinary."""
        await self._sent(run)
        for number in range(1, HOMES + 1):
            if number <= 5:
                run.bank.tell(f"PM{number}", PaymentStatus.FAILED, cause="insufficient_funds")
            else:
                run.bank.tell(f"PM{number}", PaymentStatus.CONFIRMED)
        await followed(run.store, run.bank)

        assert await run.watch(TO_RECORD + timedelta(hours=1)) == 0

    async def test_forgets_what_is_over(self, run: Run) -> None:
        """A bad day is not held against the next one; new attempts are not failures again."""
        await self._sent(run)
        for number in range(1, HOMES + 1):
            run.bank.tell(f"PM{number}", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(run.store, run.bank)
        later = TO_RECORD + timedelta(days=20)
        await told(run.store, later)

        assert await run.watch(later + timedelta(hours=1)) == 0

    async def test_stops_the_run_when_too_many_are_not_heard_of(self, run: Run) -> None:
        """Nothing for half an hour of five of twenty; a minute's silence is nothing."""
        await run.homes()
        await told(run.store)
        await recorded(run.store)
        run.bank.script = deque(["lost"] * 5)
        await sent(run.store, run.bank)

        assert await run.watch(TO_RECORD + timedelta(minutes=29)) == 0
        assert await run.watch(TO_RECORD + timedelta(minutes=30)) == 1
        assert await run.causes() == ["unknown"]

    @staticmethod
    async def _sent(run: Run) -> None:
        await run.homes()
        await told(run.store)
        await recorded(run.store)
        await sent(run.store, run.bank)


class TestDays:
    """Days without a comparison of the books ..."""

    async def test_stop_the_run(self, run: Run) -> None:
        """And again only after as many days more; a comparison that catches up ends it."""
        await run.compared(date(2026, 2, 1), date(2026, 2, 3))
        assert await run.watch(day("02-08")) == 0
        assert await run.watch(day("02-09")) == 1
        assert await run.causes() == ["unreconciled"]
        await run.release(1, "Olga", "Aigul", at=day("02-09", 10))

        assert await run.watch(day("02-14")) == 0
        assert await run.watch(day("02-15")) == 1
        await run.release(2, "Olga", "Aigul", at=day("02-15", 10))
        await run.compared(date(2026, 2, 1), date(2026, 2, 24))
        assert await run.watch(day("02-25")) == 0

    async def test_that_never_agreed_stop_it_too(self, run: Run) -> None:
        """Statements come, and the first day of them has been open for a week."""
        await run.compared(date(2026, 2, 4), date(2026, 2, 3))

        assert await run.watch(day("02-09")) == 1

    async def test_do_not_stop_it_before_the_first_statement(self, run: Run) -> None:
        """Where nobody brings statements, nothing can be compared, and nothing is missed."""
        await run.compared(date(2026, 2, 4), date(2026, 2, 3), statement=False)

        assert await run.watch(day("02-20")) == 0
