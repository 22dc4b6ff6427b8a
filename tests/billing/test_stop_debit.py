"""One debit is stopped, and the mandate goes on: before, during and after the sending."""

import asyncio
import random
from collections import deque
from datetime import date, timedelta

import pytest

from billing.approve import NoSuchDebitError
from billing.bank import NotExecuted, PaymentStatus, Rejected
from billing.debit import DebitId
from billing.enrol import pause, resume
from billing.io.debits import Debits
from billing.notice import DueBill
from billing.stop_debit import DebitOverError, DebitTooLateError, Stopped, stop_debit
from billing.withdraw import withdraw
from tests.billing.debit_town import (
    JANUARY,
    TO_RECORD,
    DebitTown,
    accepted,
    day,
    followed,
    recorded,
    sent,
    told,
)
from tests.billing.fake_bank import FakeBank

LATER = TO_RECORD + timedelta(hours=2)


@pytest.fixture
def bank() -> FakeBank:
    return FakeBank()


async def stopped(store: Debits, debit_id: DebitId = JANUARY) -> Stopped:
    return await stop_debit(store=store, debit_id=debit_id, stopped_by="the resident", at=TO_RECORD)


async def stops(town: DebitTown) -> list[tuple[str, int]]:
    """Return by whom which attempts were stopped."""
    rows = await town.owner.fetch("SELECT stopped_by, attempt FROM debit_stop ORDER BY attempt")
    return [tuple(row) for row in rows]


async def asked_again(store: Debits) -> bool:
    """Say whether the bill is announced again, a day or three months later."""
    for at in (day("02-23"), day("05-25")):
        counts = await told(store, at)
        if counts.noticed or counts.planned or counts.held:
            return True
    return False


class TestBeforeTheBank:
    """What the bank has not seen ..."""

    @pytest.mark.parametrize("steps", ["noticed", "recorded", "held"])
    async def test_is_gone_at_once(
        self, town: DebitTown, store: Debits, bank: FakeBank, steps: str
    ) -> None:
        """In force with the answer; nothing is sent, and the bill is not asked for again."""
        await town.home(total_minor=2_000_000 if steps == "held" else 74_297)
        await told(store)
        if steps == "recorded":
            await recorded(store)

        first, again = await stopped(store), await stopped(store)

        assert (first.done, again.done) == (True, True)
        assert await town.states() == ["2026-01/1 cancelled stopped_by_resident"]
        await recorded(store)
        await sent(store, bank)
        assert bank.orders == []
        assert not await asked_again(store)
        assert await stops(town) == [("the resident", 1)]

    async def test_leaves_the_mandate_and_other_bills_alone(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A no to one bill is no farewell."""
        await town.home()
        await town.bill(bill_no="2025-12")
        await told(store)
        await stopped(store)

        await recorded(store)
        await sent(store, bank)

        assert await town.states() == [
            "2025-12/1 accepted",
            "2026-01/1 cancelled stopped_by_resident",
        ]
        assert await town.owner.fetchval("SELECT enrolment FROM mandate") == "active"


class TestAtTheBank:
    """What the bank has, or may have ..."""

    async def test_is_withdrawn(self, town: DebitTown, store: Debits, bank: FakeBank) -> None:
        """It was accepted and has not left: the bank is told in the next round."""
        await accepted(town, store, bank)

        asked = await stopped(store)

        assert not asked.done
        assert await town.states() == ["2026-01/1 cancel_requested withdrawn"]
        await withdraw(store=store, bank=bank, at=TO_RECORD, limit=9)
        assert await town.states() == ["2026-01/1 cancelled withdrawn"]
        assert bank.payments["PM1"].status is PaymentStatus.CANCELLED
        assert (await stopped(store)).done
        assert not await asked_again(store)

    async def test_comes_back_by_itself_if_it_was_too_late(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank had passed it on, and we had not heard: taken, and given back once."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.SUBMITTED)
        bank.late = True
        await stopped(store)

        await withdraw(store=store, bank=bank, at=TO_RECORD, limit=9)
        for status in (PaymentStatus.CONFIRMED, PaymentStatus.PAID_OUT):
            bank.tell("PM1", status)
            await followed(store, bank)

        assert await town.states() == ["2026-01/1 settled cancel_too_late"]
        assert await town.refunds() == ["2026-01/1 74297 cancel_too_late"]
        assert not (await stopped(store)).done

    @pytest.mark.parametrize("made", [True, False])
    async def test_of_which_nobody_knows_is_only_looked_for(
        self, town: DebitTown, store: Debits, bank: FakeBank, *, made: bool
    ) -> None:
        """Never sent again; found, it is withdrawn, and not found it is over."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost"])
        await sent(store, bank)
        if not made:
            bank.payments.clear()

        asked = await stopped(store)
        await sent(store, bank, LATER)
        await withdraw(store=store, bank=bank, at=LATER, limit=9)

        assert not asked.done
        assert len(bank.orders) == 1
        assert await town.states() == ["2026-01/1 cancelled withdrawn"]
        assert [one.status for one in bank.payments.values()] == (
            [PaymentStatus.CANCELLED] if made else []
        )
        assert not await asked_again(store)

    async def test_of_which_nobody_knew_is_withdrawn_when_news_finds_it(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The answer was lost, the resident said no, and the news says that it was taken."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost"])
        await sent(store, bank)
        await stopped(store)
        bank.tell("PM1", PaymentStatus.CONFIRMED)

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 confirmed cancel_too_late"]
        assert await town.refunds() == ["2026-01/1 74297 cancel_too_late"]

    async def test_on_its_way_to_a_busy_bank_does_not_get_there(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Stopped while the bank was asked: the bank let nothing in, and is not asked again."""
        await town.home()
        await told(store)
        await recorded(store)
        inner = bank.create_payment

        async def busy(body: bytes, key: str) -> NotExecuted:
            await inner(body, key)
            await stopped(store)
            return NotExecuted(reason="rate_limited")

        bank.script = deque([NotExecuted(reason="rate_limited")])
        bank.create_payment = busy  # type: ignore[method-assign, assignment]  # the same bank, once
        await sent(store, bank)
        bank.create_payment = inner  # type: ignore[method-assign]  # as it was

        await sent(store, bank, LATER)

        assert len(bank.orders) == 1
        assert await town.states() == ["2026-01/1 cancelled withdrawn"]

    async def test_that_fails_is_not_tried_again(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The account was empty; a retry would be the debit that was stopped."""
        await accepted(town, store, bank)
        await stopped(store)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 exhausted insufficient_funds"]
        assert not await asked_again(store)


class TestAfterwards:
    """What is over ..."""

    async def test_is_not_asked_for_another_day(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """It failed, and was to be asked for again in five days."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank)
        assert await town.states() == ["2026-01/1 retry_due insufficient_funds"]

        assert (await stopped(store)).done

        assert await town.states() == ["2026-01/1 exhausted insufficient_funds"]
        assert not await asked_again(store)

    @pytest.mark.parametrize(
        "statuses",
        [
            (PaymentStatus.SUBMITTED,),
            (PaymentStatus.CONFIRMED,),
            (PaymentStatus.CONFIRMED, PaymentStatus.PAID_OUT),
        ],
    )
    async def test_is_too_late_once_we_know_that_it_was_passed_on(
        self,
        town: DebitTown,
        store: Debits,
        bank: FakeBank,
        statuses: tuple[PaymentStatus, ...],
    ) -> None:
        """Said plainly, so that nobody waits for money that nobody gives back."""
        await accepted(town, store, bank)
        for status in statuses:
            bank.tell("PM1", status)
            await followed(store, bank)

        with pytest.raises(DebitTooLateError):
            await stopped(store)

        assert await stops(town) == []

    async def test_has_nothing_to_stop(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Refused by the bank, or given back by the payer's own."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([Rejected(reason="bank_account_closed")])
        await sent(store, bank)

        with pytest.raises(DebitOverError):
            await stopped(store)

    @pytest.mark.parametrize(
        "debit_id",
        [
            DebitId(account_id="ACC-1", bill_no="2026-01", attempt=2),
            DebitId(account_id="ACC-1", bill_no="2026-02", attempt=1),
            DebitId(account_id="ACC-2", bill_no="2026-01", attempt=1),
        ],
    )
    async def test_may_never_have_been(
        self, town: DebitTown, store: Debits, debit_id: DebitId
    ) -> None:
        """Nor can a neighbour's be stopped under one's own account."""
        await town.home()
        await told(store)

        with pytest.raises(NoSuchDebitError):
            await stopped(store, debit_id)
        assert await town.states() == ["2026-01/1 noticed"]

    async def test_that_the_bank_asks_for_again_is_withdrawn_when_it_does(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """It failed, and the bank revives it by itself; the no was said in between."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await town.owner.execute("UPDATE debit SET state = 'failed', reason = 'bank_retries'")
        asked = await stopped(store)
        bank.tell("PM1", PaymentStatus.PENDING_SUBMISSION, action="resubmission_requested")

        await followed(store, bank)
        await withdraw(store=store, bank=bank, at=TO_RECORD, limit=9)

        assert not asked.done
        assert await town.states() == ["2026-01/1 cancelled withdrawn"]


async def asked_again_after_a_pause(town: DebitTown, store: Debits) -> None:
    """Announce the bill a second time: its first attempt fell to a pause that is over."""
    await town.home()
    await told(store)
    for wish in (pause, resume):
        await wish(store=store, account_id="ACC-1", mandate_id="M-1", at=day("02-03"))


async def ordered_again_after_a_pause(town: DebitTown, store: Debits, bank: FakeBank) -> None:
    """Bring the second attempt to the bank."""
    await asked_again_after_a_pause(town, store)
    await told(store, day("02-03"))
    await recorded(store)
    await sent(store, bank)


class TestAnEarlierAttempt:
    """A no to an attempt that is over already ..."""

    async def test_stops_the_one_that_came_after_it(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The answer says that the bill is not asked for any more, so the next attempt is not."""
        await asked_again_after_a_pause(town, store)
        await told(store, day("02-03"))
        assert await town.states() == ["2026-01/1 cancelled paused", "2026-01/2 noticed"]

        assert (await stopped(store)).done

        assert await town.states() == [
            "2026-01/1 cancelled paused",
            "2026-01/2 cancelled stopped_by_resident",
        ]
        await recorded(store)
        await sent(store, bank)
        assert bank.orders == []
        assert not await asked_again(store)

    async def test_is_not_done_while_the_bank_has_the_next_one(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Asked, and withdrawn by the next round, like a no to that one itself."""
        await ordered_again_after_a_pause(town, store, bank)

        assert not (await stopped(store)).done
        await withdraw(store=store, bank=bank, at=LATER, limit=9)

        assert (await stopped(store)).done
        assert await town.states() == [
            "2026-01/1 cancelled paused",
            "2026-01/2 cancelled withdrawn",
        ]

    async def test_is_too_late_once_the_next_one_was_passed_on(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Nobody is told "done" about money that is being taken."""
        await ordered_again_after_a_pause(town, store, bank)
        bank.tell("PM1", PaymentStatus.SUBMITTED)
        await followed(store, bank)

        with pytest.raises(DebitTooLateError):
            await stopped(store)
        assert await stops(town) == []

    async def test_in_the_same_moment_as_the_next_notice_comes_first(
        self, town: DebitTown, store: Debits
    ) -> None:
        """The list of bills to announce was read before the no, and is worked off after it."""
        await asked_again_after_a_pause(town, store)
        inner = store.bills_to_notice

        async def read_before_the_no(*, today: date, limit: int) -> list[DueBill]:
            bills = await inner(today=today, limit=limit)
            await stopped(store)
            return bills

        store.bills_to_notice = read_before_the_no  # type: ignore[method-assign]  # the same list
        await told(store, day("02-03"))

        assert await town.states() == ["2026-01/1 cancelled paused"]

    @pytest.mark.parametrize("seen", ["noticed", "recorded"])
    async def test_that_no_round_had_heard_of_is_heard_before_the_sending(
        self, town: DebitTown, store: Debits, bank: FakeBank, seen: str
    ) -> None:
        """Said in the moment in which the next attempt was born, under another mandate's lock."""
        await asked_again_after_a_pause(town, store)
        await told(store, day("02-03"))
        if seen == "recorded":
            await recorded(store)
        await town.owner.execute(
            "INSERT INTO debit_stop VALUES ('ACC-1', '2026-01', 1, 'the resident', '2026-02-03Z')"
        )

        await recorded(store)
        await sent(store, bank)

        assert bank.orders == []
        assert [one.split()[1] for one in await town.states()] == ["cancelled", "cancelled"]
        assert not await asked_again(store)


class TestManyAtOnce:
    """Fifty noes beside fifty rounds of sending ..."""

    @pytest.mark.parametrize("seed", range(4))
    async def test_are_one_outcome(
        self, town: DebitTown, store: Debits, bank: FakeBank, seed: int
    ) -> None:
        """Whoever wins, at most one payment was made, none lives, and one word was kept."""
        await town.home()
        await told(store)
        if seed % 2:
            await recorded(store)
        calls = [stopped(store) for _ in range(50)]
        calls += [round_of(store, bank) for _ in range(50)]  # type: ignore[misc]  # what comes of it is not looked at
        random.Random(seed).shuffle(calls)  # noqa: S311 - chance, not secrecy

        await asyncio.gather(*calls)
        for hours in (1, 2, 26):
            await sent(store, bank, TO_RECORD + timedelta(hours=hours))
            await withdraw(store=store, bank=bank, at=LATER, limit=9)

        (state,) = await town.states()
        assert state.startswith("2026-01/1 cancelled")
        assert len(bank.payments) <= 1
        assert {one.status for one in bank.payments.values()} <= {PaymentStatus.CANCELLED}
        assert await stops(town) == [("the resident", 1)]
        assert await town.balances() == {"receivable": 74_297, "revenue": -74_297}


async def round_of(store: Debits, bank: FakeBank) -> None:
    await recorded(store)
    await sent(store, bank)
    await withdraw(store=store, bank=bank, at=TO_RECORD, limit=9)
