"""Pausing and cancelling, before, during and after the sending."""

import asyncio
from collections import deque
from datetime import date, timedelta

import pytest

from billing.announce import NoticeCounts
from billing.bank import PaymentStatus
from billing.collect import RecordCounts
from billing.enrol import cancel, pause, resume
from billing.follow import FollowCounts
from billing.io.debits import Debits
from billing.send import SendCounts
from billing.withdraw import withdraw
from tests.billing.debit_town import (
    TO_RECORD,
    DebitTown,
    accepted,
    day,
    followed,
    recorded,
    sent,
    told,
)
from tests.billing.fake_bank import LOST, FakeBank


@pytest.fixture
def bank() -> FakeBank:
    return FakeBank()


class TestWithdraw:
    """Pausing and cancelling ..."""

    @pytest.mark.parametrize("wish", [pause, cancel])
    @pytest.mark.parametrize("steps", [0, 1])
    async def test_takes_back_what_the_bank_has_not_seen(
        self, town: DebitTown, store: Debits, bank: FakeBank, wish: object, steps: int
    ) -> None:
        """Noticed or recorded, it is gone at once, and nothing is sent afterwards."""
        await town.home()
        await told(store)
        if steps:
            await recorded(store)

        changed = await wish(store=store, account_id="ACC-1", mandate_id="M-1", at=TO_RECORD)  # type: ignore[operator]  # either of the two

        reason = "paused" if wish is pause else "cancelled_by_resident"
        assert changed.debits_cancelled == 1
        assert await town.states() == [f"2026-01/1 cancelled {reason}"]
        assert await recorded(store) == RecordCounts()
        assert await sent(store, bank) == SendCounts()
        assert bank.orders == []
        assert await town.moves() == (["2026-01/1/pending", "2026-01/1/void"] if steps else [])

    async def test_is_told_to_the_bank(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The payment was accepted but has not left yet."""
        await accepted(town, store, bank)
        await pause(store=store, account_id="ACC-1", mandate_id="M-1", at=TO_RECORD)
        assert await town.states() == ["2026-01/1 cancel_requested withdrawn"]

        counts = await withdraw(store=store, bank=bank, at=TO_RECORD, limit=9)

        assert counts == FollowCounts(moved=1)
        assert await town.states() == ["2026-01/1 cancelled withdrawn"]
        assert await town.balances() == {"receivable": 74_297, "revenue": -74_297}

    async def test_too_late_comes_back_by_itself(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """It cannot be stopped any more: it is followed, and given back once it is there."""
        await accepted(town, store, bank)
        await pause(store=store, account_id="ACC-1", mandate_id="M-1", at=TO_RECORD)
        bank.tell("PM1", PaymentStatus.SUBMITTED)
        bank.late = True

        await withdraw(store=store, bank=bank, at=TO_RECORD, limit=9)

        assert await town.states() == ["2026-01/1 submitted cancel_too_late"]
        assert await withdraw(store=store, bank=bank, at=TO_RECORD, limit=9) == FollowCounts()
        assert await town.refunds() == []
        for status in (PaymentStatus.CONFIRMED, PaymentStatus.CONFIRMED, PaymentStatus.PAID_OUT):
            bank.tell("PM1", status)
            await followed(store, bank)
        assert await town.states() == ["2026-01/1 settled cancel_too_late"]
        assert await town.refunds() == ["2026-01/1 74297 cancel_too_late"]

    async def test_too_late_is_seen_when_all_is_over(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank took it and paid it out before we asked again: given back all the same."""
        await accepted(town, store, bank)
        await cancel(store=store, account_id="ACC-1", mandate_id="M-1", at=TO_RECORD)
        bank.tell("PM1", PaymentStatus.PAID_OUT)

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 settled cancel_too_late"]
        assert await town.refunds() == ["2026-01/1 74297 cancel_too_late"]

    async def test_of_what_nobody_knew_of_comes_back_too(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The answer was lost, the resident said no, and the news finds the money taken."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost"])
        await sent(store, bank)
        await pause(store=store, account_id="ACC-1", mandate_id="M-1", at=TO_RECORD)
        bank.tell("PM1", PaymentStatus.CONFIRMED)

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 confirmed cancel_too_late"]
        assert "cancel_requested" in await town.steps()
        assert await town.refunds() == ["2026-01/1 74297 cancel_too_late"]

    async def test_after_it_had_left_asks_for_nothing_back(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """We knew that it had left when he said no: the next ones stop, this one was announced."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.SUBMITTED)
        await followed(store, bank)
        await pause(store=store, account_id="ACC-1", mandate_id="M-1", at=TO_RECORD)
        bank.tell("PM1", PaymentStatus.CONFIRMED)

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 confirmed"]
        assert await town.refunds() == []

    async def test_survives_a_silent_bank(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The wish is in force without the bank, and the bank is told when it listens."""
        await accepted(town, store, bank)
        bank.agree_to("MD1")
        await cancel(store=store, account_id="ACC-1", mandate_id="M-1", at=TO_RECORD)
        bank.silent = True
        counts = await withdraw(store=store, bank=bank, at=TO_RECORD, limit=9)
        assert counts == FollowCounts(silent=2)
        bank.silent = False

        await withdraw(store=store, bank=bank, at=TO_RECORD, limit=9)

        assert await town.states() == ["2026-01/1 cancelled withdrawn"]
        assert await town.owner.fetchval("SELECT state FROM mandate") == "cancelled"
        assert await withdraw(store=store, bank=bank, at=TO_RECORD, limit=9) == FollowCounts()

    async def test_sends_nothing_more_for_an_unknown_debit(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The same key would make the payment after the resident said no; we only look."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([LOST])
        await sent(store, bank)
        await pause(store=store, account_id="ACC-1", mandate_id="M-1", at=TO_RECORD)
        early, late = TO_RECORD + timedelta(minutes=2), TO_RECORD + timedelta(hours=1)

        assert await sent(store, bank, early) == SendCounts(unknown=1)
        assert await sent(store, bank, late) == SendCounts(cancelled=1)

        assert len(bank.orders) == 1
        assert bank.payments == {}
        assert await town.states() == ["2026-01/1 cancelled withdrawn"]

    async def test_finds_an_unknown_debit_and_stops_it(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """It had been made; found by looking, it is cancelled at the bank."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost"])
        await sent(store, bank)
        await pause(store=store, account_id="ACC-1", mandate_id="M-1", at=TO_RECORD)
        later = TO_RECORD + timedelta(minutes=2)

        assert await sent(store, bank, later) == SendCounts(accepted=1)
        await withdraw(store=store, bank=bank, at=later, limit=9)

        assert len(bank.orders) == 1
        assert await town.states() == ["2026-01/1 cancelled withdrawn"]

    async def test_begins_anew_when_the_resident_resumes(
        self, town: DebitTown, store: Debits
    ) -> None:
        """With a fresh notice, and five days from then; the fifth is a Sunday."""
        await town.home()
        await told(store)
        await pause(store=store, account_id="ACC-1", mandate_id="M-1", at=day("02-20"))
        assert await told(store, day("02-21")) == NoticeCounts()
        await resume(store=store, account_id="ACC-1", mandate_id="M-1", at=day("02-24"))

        assert await told(store, day("02-24")) == NoticeCounts(noticed=1)
        assert await town.states() == ["2026-01/1 cancelled paused", "2026-01/2 noticed"]
        assert await town.owner.fetchval("SELECT charge_on FROM notice WHERE attempt = 2") == date(
            2026, 3, 2
        )

    async def test_racing_with_senders_never_leaves_a_payment_behind(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Whoever wins, after the bank was told nothing is left that takes money."""
        for number in range(12):
            await town.home(f"ACC-{number}")
        await told(store)
        await recorded(store)

        await asyncio.gather(
            sent(store, bank),
            *(
                pause(store=store, account_id=f"ACC-{number}", mandate_id="M-1", at=TO_RECORD)
                for number in range(12)
            ),
            sent(store, bank),
        )
        await withdraw(store=store, bank=bank, at=TO_RECORD, limit=99)

        alive = [
            payment
            for payment in bank.payments.values()
            if payment.status is not PaymentStatus.CANCELLED
        ]
        assert alive == []
        for number in range(12):
            (state,) = await town.states(f"ACC-{number}")
            assert state in {"2026-01/1 cancelled paused", "2026-01/1 cancelled withdrawn"}


class TestADispute:
    """A bill that is in dispute ..."""

    async def test_is_not_sent_although_its_order_was_written(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Its letter says so: nothing is debited while a dispute is open. Afterwards it is told."""
        await town.home()
        await told(store)
        await recorded(store)
        await town.dispute()

        assert await sent(store, bank) == SendCounts(cancelled=1)

        assert bank.orders == []
        assert await town.states() == ["2026-01/1 cancelled withdrawn"]
        assert await told(store, day("02-23")) == NoticeCounts()
        await town.settle_dispute("2026-02-25")
        assert await told(store, day("02-25")) == NoticeCounts(noticed=1)

    async def test_is_withdrawn_from_the_bank(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Accepted, and not on its way yet."""
        await accepted(town, store, bank)
        await town.dispute()

        assert await withdraw(store=store, bank=bank, at=TO_RECORD, limit=9) == FollowCounts(
            moved=1
        )

        assert await town.states() == ["2026-01/1 cancelled withdrawn"]
        assert bank.payments["PM1"].status is PaymentStatus.CANCELLED

    async def test_is_given_back_where_the_bank_could_not_stop(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank had passed it on, and we had not heard."""
        await accepted(town, store, bank)
        await town.dispute()
        bank.tell("PM1", PaymentStatus.CONFIRMED)

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 confirmed cancel_too_late"]
        assert await town.refunds() == ["2026-01/1 74297 cancel_too_late"]

    async def test_that_is_settled_stands_in_no_way(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Begun and ended between two rounds: the order goes out as it was announced."""
        await town.home()
        await told(store)
        await recorded(store)
        await town.dispute()
        await town.settle_dispute("2026-02-04")

        assert await sent(store, bank) == SendCounts(accepted=1)
        assert await withdraw(store=store, bank=bank, at=TO_RECORD, limit=9) == FollowCounts()

    async def test_of_another_bill_is_none_of_this_one(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Each bill for itself."""
        await accepted(town, store, bank)
        await town.bill(bill_no="2025-12")
        await town.dispute(bill_no="2025-12")

        assert await withdraw(store=store, bank=bank, at=TO_RECORD, limit=9) == FollowCounts()
        assert await town.states() == ["2026-01/1 accepted"]
