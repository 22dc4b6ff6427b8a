"""Announcing, recording, and whole rounds, against a real database."""

import asyncio
from datetime import date, timedelta

import pytest
from structlog.testing import capture_logs

import billing.collect
from billing.announce import NoticeCounts
from billing.bank import PaymentStatus
from billing.collect import RecordCounts, collect
from billing.debit import Debit
from billing.enrol import change_caps
from billing.io.debits import Debits
from billing.mandate import Caps
from billing.order import FrozenOrder
from tests.billing.debit_town import (
    ISSUED,
    TO_RECORD,
    ZONE,
    DebitTown,
    day,
    recorded,
    told,
)
from tests.billing.fake_bank import FakeBank


@pytest.fixture
def bank() -> FakeBank:
    return FakeBank()


class TestNotice:
    """The notice ..."""

    async def test_tells_amount_and_day(self, town: DebitTown, store: Debits) -> None:
        """Told on the second of February for the day the bill is due."""
        await town.home()

        counts = await told(store)

        assert counts == NoticeCounts(noticed=1)
        assert await town.states() == ["2026-01/1 noticed"]
        row = await town.owner.fetchrow("SELECT amount_minor, charge_on, noticed_at FROM notice")
        assert row is not None
        assert tuple(row) == (74_297, date(2026, 2, 25), ISSUED)

    async def test_comes_once(self, town: DebitTown, store: Debits) -> None:
        """Two notices for one bill would be two debits."""
        await town.home()
        await told(store)

        assert await told(store) == NoticeCounts()
        assert await town.states() == ["2026-01/1 noticed"]

    async def test_comes_once_from_many_processes(self, town: DebitTown, store: Debits) -> None:
        """Twenty collectors over one bill still announce one debit."""
        await town.home()

        counts = await asyncio.gather(*(told(store) for _ in range(20)))

        assert sum(one.noticed for one in counts) == 1
        assert await town.states() == ["2026-01/1 noticed"]

    async def test_leaves_five_days_when_the_due_day_is_near(
        self, town: DebitTown, store: Debits
    ) -> None:
        """Told on the 23rd, taken after the 28th, a Saturday, whatever the bill says."""
        await town.home()

        await told(store, day("02-23"))

        assert await town.owner.fetchval("SELECT charge_on FROM debit") == date(2026, 3, 2)

    @pytest.mark.parametrize("state", ["pending", "cancelled", "expired"])
    async def test_waits_for_an_active_mandate(
        self, town: DebitTown, store: Debits, state: str
    ) -> None:
        """What the bank has not confirmed allows nothing."""
        await town.account()
        await town.mandate(state=state)
        await town.bill()

        assert await told(store) == NoticeCounts()

    async def test_passes_over_what_is_paid(self, town: DebitTown, store: Debits) -> None:
        """A bill that owes nothing is asked for nothing."""
        await town.home()
        await town.transfer("ACC-1", "2026-01", "paid", "bank", "receivable", 74_297)

        assert await told(store) == NoticeCounts()

    async def test_asks_for_what_is_still_owed(self, town: DebitTown, store: Debits) -> None:
        """Part of it was paid another way."""
        await town.home()
        await town.transfer("ACC-1", "2026-01", "paid", "bank", "receivable", 70_000)

        await told(store)

        assert await town.owner.fetchval("SELECT amount_minor FROM notice") == 4_297

    async def test_passes_over_another_currency(self, town: DebitTown, store: Debits) -> None:
        """A mandate in euro says nothing about tenge."""
        await town.account()
        await town.mandate(currency="EUR")
        await town.bill()

        assert await told(store) == NoticeCounts()

    async def test_holds_what_is_over_the_cap(self, town: DebitTown, store: Debits) -> None:
        """The resident set the cap; a bill over it is asked about, never split."""
        await town.account()
        await town.mandate(payment_minor_max=74_296)
        await town.bill()

        assert await told(store) == NoticeCounts(held=1)
        assert await town.states() == ["2026-01/1 held over_cap"]
        assert await town.owner.fetchval("SELECT count(*) FROM notice") == 0

    async def test_follows_when_the_cap_is_raised(self, town: DebitTown, store: Debits) -> None:
        """Raised on the third: announced on the third, not as if it had been on the second."""
        await town.account()
        await town.mandate(payment_minor_max=74_296)
        await town.bill()
        await told(store)
        await change_caps(
            store=store,
            account_id="ACC-1",
            mandate_id="M-1",
            caps=Caps(payment_minor_max=74_297, month_minor_max=74_297),
            at=day("02-03"),
        )

        assert await told(store, day("02-03")) == NoticeCounts(noticed=1)
        assert await town.states() == ["2026-01/1 noticed"]
        assert await town.owner.fetchval("SELECT noticed_at FROM notice") == day("02-03")

    async def test_counts_the_month_over_all_bills(self, town: DebitTown, store: Debits) -> None:
        """Two bills of 60 in a month of at most 100: one is announced, one is held."""
        await town.account()
        await town.mandate(payment_minor_max=60, month_minor_max=100)
        await town.bill(total_minor=60)
        await town.bill(bill_no="2025-12", total_minor=60, due_on=date(2026, 1, 25))

        assert await told(store) == NoticeCounts(noticed=1, held=1)
        assert await town.states() == ["2025-12/1 noticed", "2026-01/1 held over_month_cap"]

    async def test_of_the_next_month_is_free_again(self, town: DebitTown, store: Debits) -> None:
        """In March the second bill fits; it waited, nobody split it."""
        await town.account()
        await town.mandate(payment_minor_max=60, month_minor_max=100)
        await town.bill(total_minor=60)
        await town.bill(bill_no="2025-12", total_minor=60, due_on=date(2026, 1, 25))
        await told(store)

        assert await told(store, day("02-25")) == NoticeCounts(noticed=1)
        assert await town.owner.fetchval(
            "SELECT charge_on FROM debit WHERE bill_no = '2026-01'"
        ) == date(2026, 3, 2)

    async def test_held_is_given_up_once_it_is_paid(self, town: DebitTown, store: Debits) -> None:
        """The resident paid at the counter instead of raising the cap, then raised it anyway."""
        await town.account()
        await town.mandate(payment_minor_max=74_296)
        await town.bill()
        await told(store)
        await town.transfer("ACC-1", "2026-01", "paid", "bank", "receivable", 74_297)
        await change_caps(
            store=store,
            account_id="ACC-1",
            mandate_id="M-1",
            caps=Caps(payment_minor_max=80_000, month_minor_max=80_000),
            at=day("02-03"),
        )

        assert await told(store, day("02-03")) == NoticeCounts(cancelled=1)
        assert await town.states() == ["2026-01/1 cancelled amount_changed"]


class TestRecord:
    """Recording ..."""

    async def test_waits_for_its_day(self, town: DebitTown, store: Debits) -> None:
        """Three days before the charge, not four."""
        await town.home()
        await told(store)

        assert await recorded(store, day("02-21")) == RecordCounts()
        assert await recorded(store, day("02-22")) == RecordCounts(recorded=1)

    async def test_freezes_the_order_and_books_it_as_pending(
        self, town: DebitTown, store: Debits
    ) -> None:
        """Key, bytes, digest and ledger stand before anything is sent."""
        await town.home()
        await told(store)

        await recorded(store)

        row = await town.owner.fetchrow("SELECT * FROM debit")
        assert row is not None
        assert row["idempotency_key"] == "debit:v1:ACC-1:2026-01:1"
        assert row["body"] == (
            b'{"payments":{"amount":74297,"charge_date":"2026-02-25","currency":"KZT",'
            b'"description":"Gas 2026-01","links":{"mandate":"MD1"},'
            b'"metadata":{"intent":"debit:v1:ACC-1:2026-01:1"},"retry_if_possible":false}}'
        )
        assert await town.owner.fetchval("SELECT sha256(body) = body_digest FROM debit") is True
        pending = await town.owner.fetchrow(
            "SELECT phase, debit_code, credit_code, amount_minor FROM transfer"
            " WHERE transfer_id = 'debit/2026-01/1/pending'"
        )
        assert pending is not None
        assert tuple(pending) == ("pending", "collections_in_transit", "receivable", 74_297)

    async def test_asks_the_ledger_again(self, town: DebitTown, store: Debits) -> None:
        """Paid at the counter after the notice: nothing is taken."""
        await town.home()
        await told(store)
        await town.transfer("ACC-1", "2026-01", "paid", "bank", "receivable", 74_297)

        assert await recorded(store) == RecordCounts(cancelled=1)
        assert await town.states() == ["2026-01/1 cancelled paid"]

    async def test_asks_for_the_amount_again(self, town: DebitTown, store: Debits) -> None:
        """Another amount needs another notice, and its days start anew."""
        await town.home()
        await told(store)
        await town.transfer("ACC-1", "2026-01", "paid", "bank", "receivable", 297)

        assert await recorded(store) == RecordCounts(cancelled=1)
        await told(store, TO_RECORD)

        assert await town.states() == ["2026-01/1 cancelled amount_changed", "2026-01/2 noticed"]
        second = await town.owner.fetchrow(
            "SELECT amount_minor, charge_on FROM notice WHERE attempt = 2"
        )
        assert second is not None
        assert tuple(second) == (74_000, date(2026, 2, 27))

    async def test_asks_for_the_cap_again(self, town: DebitTown, store: Debits) -> None:
        """Lowered after the notice, still in time."""
        await town.home()
        await told(store)
        await change_caps(
            store=store,
            account_id="ACC-1",
            mandate_id="M-1",
            caps=Caps(payment_minor_max=100, month_minor_max=100),
            at=day("02-20"),
        )

        assert await recorded(store) == RecordCounts(held=1)
        await told(store, TO_RECORD)

        assert await town.states() == ["2026-01/1 held over_cap"]

    async def test_leaves_behind_only_the_one_that_is_broken(
        self, town: DebitTown, store: Debits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One debit that nobody knows how to freeze must not keep a town's from being recorded."""
        for number in range(1, 5):
            await town.home(f"ACC-{number}")
        await told(store)
        freeze = billing.collect.frozen_order

        def broken(debit: Debit, bank_mandate_id: str) -> FrozenOrder:
            if debit.account_id == "ACC-2":
                raise ValueError("cannot be frozen")
            return freeze(debit, bank_mandate_id)

        monkeypatch.setattr(billing.collect, "frozen_order", broken)

        with capture_logs() as said:
            assert await recorded(store) == RecordCounts(recorded=3)

        assert await town.states("ACC-2") == ["2026-01/1 noticed"]
        # What the mistake says may carry a row; its kind and whose debit it was are enough.
        assert [one for one in said if one["log_level"] == "error"] == [
            {
                "event": "debit.left_behind",
                "key": "debit:v1:ACC-2:2026-01:1",
                "error": "ValueError",
                "log_level": "error",
            }
        ]
        monkeypatch.undo()
        assert await recorded(store) == RecordCounts(recorded=1)

    async def test_stops_where_nothing_can_be_recorded(
        self, town: DebitTown, store: Debits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is not the debits then, and a person has to hear of it."""
        for number in range(1, 5):
            await town.home(f"ACC-{number}")
        await told(store)

        def broken(*_: object) -> FrozenOrder:
            raise ValueError("cannot be frozen")

        monkeypatch.setattr(billing.collect, "frozen_order", broken)

        with pytest.raises(ValueError, match="cannot be frozen"):
            await recorded(store)
        assert await town.states("ACC-2") == ["2026-01/1 noticed"]

    async def test_asks_for_the_cap_of_a_month_one_bill_after_the_other(
        self, town: DebitTown, store: Debits
    ) -> None:
        """Two bills of 60, and a month lowered to 100: one is held, and the other has room then."""
        await town.account()
        await town.mandate(payment_minor_max=60, month_minor_max=120)
        await town.bill(total_minor=60)
        await town.bill(bill_no="2025-12", total_minor=60)
        await told(store)
        await change_caps(
            store=store,
            account_id="ACC-1",
            mandate_id="M-1",
            caps=Caps(payment_minor_max=60, month_minor_max=100),
            at=day("02-20"),
        )

        assert await recorded(store) == RecordCounts(recorded=1, held=1)
        assert await town.states() == ["2025-12/1 held over_month_cap", "2026-01/1 recorded"]

    @pytest.mark.parametrize(
        ("state", "counts", "end"),
        [
            ("pending", RecordCounts(held=1), "held mandate_pending"),
            ("expired", RecordCounts(cancelled=1), "cancelled mandate_ended"),
        ],
    )
    async def test_asks_for_the_mandate_again(
        self, town: DebitTown, store: Debits, state: str, counts: RecordCounts, end: str
    ) -> None:
        """Suspended or over since the notice."""
        await town.home()
        await told(store)
        await town.owner.execute("UPDATE mandate SET state = $1", state)

        assert await recorded(store) == counts
        assert await town.states() == [f"2026-01/1 {end}"]

    async def test_asks_for_the_resident_again(self, town: DebitTown, store: Debits) -> None:
        """A pause that got by the notice's debits would still be seen here."""
        await town.home()
        await told(store)
        await town.owner.execute("UPDATE mandate SET enrolment = 'paused'")

        assert await recorded(store) == RecordCounts(held=1)
        assert await town.states() == ["2026-01/1 held paused"]

    async def test_asks_for_the_notice_again(self, town: DebitTown, store: Debits) -> None:
        """A debit without a notice is never sent, however it came to be noticed."""
        await town.home()
        await told(store)
        await town.owner.execute("DELETE FROM notice")

        assert await recorded(store) == RecordCounts(told_anew=1)
        assert await town.states() == ["2026-01/1 noticed"]
        assert await town.steps() == ["planned", "noticed", "planned", "noticed"]
        assert await town.owner.fetchval("SELECT charge_on FROM notice") == date(2026, 2, 27)

    async def test_charges_later_when_it_runs_late(self, town: DebitTown, store: Debits) -> None:
        """The notice said not before the 25th; a day that is past is never ordered."""
        await town.home()
        await told(store)

        assert await recorded(store, day("02-26")) == RecordCounts(recorded=1)
        assert await town.owner.fetchval("SELECT charge_on FROM debit") == date(2026, 3, 2)

    async def test_tells_anew_what_would_be_charged_much_later(
        self, town: DebitTown, store: Debits
    ) -> None:
        """The run was stopped for two weeks: nobody expects the money to be taken now."""
        await town.home()
        await told(store)

        assert await recorded(store, day("03-10")) == RecordCounts(told_anew=1)

        assert await town.states() == ["2026-01/1 noticed"]
        days = await town.owner.fetch("SELECT charge_on FROM notice ORDER BY notice_no")
        assert [one[0] for one in days] == [date(2026, 2, 25), date(2026, 3, 16)]
        assert await recorded(store, day("03-12")) == RecordCounts(recorded=1)
        assert await town.owner.fetchval("SELECT charge_on FROM debit") == date(2026, 3, 16)

    async def test_happens_once_in_many_processes(self, town: DebitTown, store: Debits) -> None:
        """Twenty at once freeze one order and book one pending transfer."""
        await town.home()
        await told(store)

        counts = await asyncio.gather(*(recorded(store) for _ in range(20)))

        assert sum(one.recorded for one in counts) == 1
        assert await town.moves() == ["2026-01/1/pending"]


class TestCollect:
    """One round of everything ..."""

    async def test_takes_the_bill_from_open_to_paid(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The same call, again and again, is all that the loop has to do."""
        await town.home()
        for at in (ISSUED, day("02-21"), day("02-22")):
            await collect(store=store, bank=bank, at=at, zone=ZONE, limit=50)
        bank.tell("PM1", PaymentStatus.PAID_OUT)

        counts = await collect(store=store, bank=bank, at=day("02-27"), zone=ZONE, limit=50)

        assert counts.follow.moved == 1
        assert await town.states() == ["2026-01/1 settled"]
        assert await town.steps() == [
            "planned",
            "noticed",
            "recorded",
            "sending",
            "accepted",
            "settled",
        ]

    async def test_is_one_debit_in_twenty_processes(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Twenty whole rounds at once, three times over: one payment."""
        await town.home()
        for at in (ISSUED, TO_RECORD, TO_RECORD + timedelta(hours=1)):
            await asyncio.gather(
                *(collect(store=store, bank=bank, at=at, zone=ZONE, limit=50) for _ in range(20))
            )

        assert len(bank.payments) == 1
        assert len(bank.orders) == 1
        assert await town.states() == ["2026-01/1 accepted"]

    async def test_counts_a_silent_bank_and_goes_on(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A dead bank stops nothing of ours."""
        await town.home()
        bank.silent = True

        counts = await collect(store=store, bank=bank, at=ISSUED, zone=ZONE, limit=50)

        assert counts.notice.noticed == 1
        assert counts.follow.silent == 1
