"""Following what the bank says, in every order it may say it."""

import asyncio
from collections import deque
from dataclasses import replace
from datetime import date, timedelta

import pytest

from billing.announce import NoticeCounts
from billing.bank import BankEvent, PaymentStatus
from billing.enrol import pause
from billing.follow import FollowCounts, follow, reread
from billing.io.debits import Debits
from tests.billing.debit_town import (
    ISSUED,
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


@pytest.fixture
def bank() -> FakeBank:
    return FakeBank()


class TestFollow:
    """Following ..."""

    async def test_brings_a_debit_home(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Submitted, confirmed, paid out: the bill is paid and the money is in our account."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.SUBMITTED)
        await followed(store, bank)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        await followed(store, bank)
        assert await town.balances() == {"collections_in_transit": 74_297, "revenue": -74_297}
        bank.tell("PM1", PaymentStatus.PAID_OUT)

        counts = await followed(store, bank)

        assert counts == FollowCounts(moved=1)
        assert await town.states() == ["2026-01/1 settled"]
        assert await town.moves() == ["2026-01/1/payout", "2026-01/1/pending", "2026-01/1/posted"]
        assert await town.balances() == {"bank": 74_297, "revenue": -74_297}

    async def test_reads_the_payment_and_not_the_event(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """An event may be forged, stale or out of order; the payment is what it is now."""
        await accepted(town, store, bank)
        bank.hint("PM1", "paid_out")

        assert await followed(store, bank) == FollowCounts(unchanged=1)
        assert await town.states() == ["2026-01/1 accepted"]

    async def test_takes_all_steps_from_one_reading(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Three events, one look: the first brings everything, the others nothing new."""
        await accepted(town, store, bank)
        for status in (PaymentStatus.SUBMITTED, PaymentStatus.CONFIRMED, PaymentStatus.PAID_OUT):
            bank.tell("PM1", status)

        assert await followed(store, bank) == FollowCounts(moved=1, unchanged=2)
        assert await town.balances() == {"bank": 74_297, "revenue": -74_297}

    async def test_deals_with_an_event_once(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A list that is read again from the start moves nothing a second time."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        await followed(store, bank)
        await town.owner.execute("DELETE FROM bank_cursor")
        asked = len(bank.asked)

        assert await followed(store, bank) == FollowCounts()
        assert "payment PM1" not in bank.asked[asked:]

    async def test_deals_with_an_event_once_in_many_processes(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Ten who read the same page post one transfer, and one of them says so."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.CONFIRMED)

        counts = await asyncio.gather(*(followed(store, bank) for _ in range(10)))

        assert sum(one.moved for one in counts) == 1
        assert sum(one.unchanged for one in counts) == 0
        assert await town.moves() == ["2026-01/1/pending", "2026-01/1/posted"]

    async def test_goes_on_from_where_it_stopped(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """More events than one page holds, in small batches, none missed."""
        await accepted(town, store, bank)
        for _ in range(7):
            bank.hint("PM1", "submitted")
        for _ in range(3):
            await follow(store=store, bank=bank, at=TO_RECORD, limit=3)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        for _ in range(5):
            bank.hint("PM1", "submitted")

        await follow(store=store, bank=bank, at=TO_RECORD, limit=3)
        await follow(store=store, bank=bank, at=TO_RECORD, limit=3)

        assert await town.owner.fetchval("SELECT count(*) FROM bank_event") == 13
        assert await town.owner.fetchval("SELECT event_id FROM bank_cursor") == "EV13"
        assert await town.states() == ["2026-01/1 confirmed"]

    async def test_lets_no_silence_lose_an_event(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank stops answering in the middle; the cursor waits, and so does the effect."""
        await accepted(town, store, bank)
        await followed(store, bank)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        bank.silent = True
        assert await followed(store, bank) == FollowCounts(silent=1)
        bank.silent = False

        assert await followed(store, bank) == FollowCounts(moved=1)

    async def test_does_not_let_one_payment_hold_up_the_others(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """One unreadable payment is asked for again each time; those behind it are dealt with."""
        await accepted(town, store, bank)
        bank.events.append(BankEvent(event_id="EV1", resource="organisations", action="created"))
        await followed(store, bank)
        bank.hint("PM-dark", "submitted")
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        inner = bank.get_payment

        async def dark(payment_id: str) -> object:
            bank.silent = payment_id == "PM-dark"
            try:
                return await inner(payment_id)
            finally:
                bank.silent = False

        bank.get_payment = dark  # type: ignore[method-assign, assignment]  # the same bank, one payment unreadable

        assert await followed(store, bank) == FollowCounts(moved=1, silent=1)
        assert await town.states() == ["2026-01/1 confirmed"]
        assert await town.owner.fetchval("SELECT event_id FROM bank_cursor") == "EV1"
        bank.get_payment = inner  # type: ignore[method-assign]  # as it was
        assert await followed(store, bank) == FollowCounts(unknown=1)
        assert await town.owner.fetchval("SELECT event_id FROM bank_cursor") == "EV3"

    async def test_passes_over_what_is_not_ours(self, store: Debits, bank: FakeBank) -> None:
        """Other resources are remembered, without effect; what may be ours is set aside."""
        bank.events = [
            BankEvent(event_id="EV1", resource="payouts", action="paid"),
            BankEvent(
                event_id="EV2", resource="payments", action="paid_out", links={"payment": "PM9"}
            ),
            BankEvent(
                event_id="EV3", resource="mandates", action="cancelled", links={"mandate": "MD9"}
            ),
            BankEvent(event_id="EV4", resource="unreadable", action="unreadable"),
        ]

        assert await followed(store, bank) == FollowCounts(foreign=1, unknown=3)
        assert await followed(store, bank) == FollowCounts()

    async def test_leaves_a_debit_alone_when_the_status_is_new_to_us(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank invents a status; nothing moves, nothing breaks, and we look again."""
        await accepted(town, store, bank)
        bank.payments["PM1"] = replace(bank.payments["PM1"], status=None)
        bank.hint("PM1", "sanctioned")

        assert await followed(store, bank) == FollowCounts(unknown=1)
        assert await town.states() == ["2026-01/1 accepted"]
        assert await town.owner.fetchval("SELECT trouble FROM bank_hint") == "unknown_status"

    async def test_is_faster_than_our_own_answer(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The answer was lost, but the news is here: it is found by our key."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost"])
        await sent(store, bank)
        bank.tell("PM1", PaymentStatus.SUBMITTED)

        assert await followed(store, bank) == FollowCounts(moved=1)
        assert await town.states() == ["2026-01/1 submitted"]
        assert len(bank.orders) == 1

    async def test_reopens_the_bill_when_the_account_is_empty(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Nothing came, so nothing counts; and a new attempt has its own notice and days."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.SUBMITTED)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")

        await followed(store, bank)
        assert await town.states() == ["2026-01/1 retry_due insufficient_funds"]
        assert await town.owner.fetchval("SELECT retry_on FROM debit") == date(2026, 2, 27)
        assert await town.moves() == ["2026-01/1/pending", "2026-01/1/void"]
        assert await town.balances() == {"receivable": 74_297, "revenue": -74_297}

        assert await told(store, day("02-26")) == NoticeCounts()
        await told(store, day("02-27"))
        assert await town.states() == [
            "2026-01/1 failed insufficient_funds",
            "2026-01/2 noticed",
        ]
        assert await town.owner.fetchval("SELECT charge_on FROM notice WHERE attempt = 2") == date(
            2026, 3, 4
        )

    async def test_stops_after_three_failures(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A fourth try would only cost the resident money."""
        await town.home()
        tries = ((ISSUED, TO_RECORD), (day("02-27"), day("03-01")), (day("03-13"), day("03-16")))
        for number, (tell_at, at) in enumerate(tries, start=1):
            await told(store, tell_at)
            await recorded(store, at)
            await sent(store, bank, at)
            bank.tell(f"PM{number}", PaymentStatus.FAILED, cause="insufficient_funds")
            await followed(store, bank, at)

        assert await told(store, day("03-30")) == NoticeCounts()
        assert await town.states() == [
            "2026-01/1 failed insufficient_funds",
            "2026-01/2 failed insufficient_funds",
            "2026-01/3 exhausted insufficient_funds",
        ]
        assert [key for _, key in bank.orders] == [
            "debit:v1:ACC-1:2026-01:1",
            "debit:v1:ACC-1:2026-01:2",
            "debit:v1:ACC-1:2026-01:3",
        ]

    @pytest.mark.parametrize("cause", ["bank_account_closed", "payer_deceased", None])
    async def test_does_not_ask_again_where_it_cannot_help(
        self, town: DebitTown, store: Debits, bank: FakeBank, cause: str | None
    ) -> None:
        """Only time heals an empty account; a person calls about the rest."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause=cause)
        await followed(store, bank)

        assert await told(store, day("02-26")) == NoticeCounts()

    async def test_books_a_late_failure_back(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Confirmed, paid out, and yet taken back by the bank: our account has it no more."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.PAID_OUT)
        await followed(store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="refer_to_payer")

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 retry_due refer_to_payer"]
        assert await told(store, day("03-20")) == NoticeCounts()
        assert await town.balances() == {"chargebacks_receivable": 74_297, "revenue": -74_297}

    async def test_lets_it_be_owed_again_once_the_bank_has_cut_a_payout_for_it(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank may say so twice, and its word may overtake the failure's own."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.PAID_OUT)
        await followed(store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, action="late_failure_settled")
        bank.hint("PM1", "failed", cause="refer_to_payer")
        bank.hint("PM1", "late_failure_settled")

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 retry_due refer_to_payer"]
        assert await town.balances() == {"receivable": 74_297, "revenue": -74_297}
        assert [name for name in await town.moves() if "recovered" in name] == [
            "2026-01/1/recovered"
        ]

    async def test_pauses_a_payer_who_disputes(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The money goes back, and nothing more is taken until he says so himself."""
        await accepted(town, store, bank)
        await town.bill(bill_no="2026-02", due_on=date(2026, 3, 25))
        await told(store)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        bank.tell("PM1", PaymentStatus.CHARGED_BACK, cause="authorisation_disputed")

        await followed(store, bank)

        assert await town.states() == [
            "2026-01/1 charged_back authorisation_disputed",
            "2026-02/1 cancelled paused",
        ]
        assert await town.owner.fetchval("SELECT enrolment FROM mandate") == "paused"
        assert await town.balances() == {"receivable": 148_594, "revenue": -148_594}
        assert await told(store, day("02-26")) == NoticeCounts()

    async def test_asks_a_person_when_the_bank_contradicts_an_end(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Failed for us, alive at the bank: no third story may begin on top of these two."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank)
        await told(store, day("02-27"))
        bank.tell("PM1", PaymentStatus.SUBMITTED)

        assert await followed(store, bank) == FollowCounts(contradicted=1)
        assert await town.states() == [
            "2026-01/1 review contradiction",
            "2026-01/2 cancelled contradiction",
        ]

    async def test_asks_a_person_when_the_payment_is_another_one_than_was_ordered(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A bank that gave us the name of somebody else's payment tells us what became of that."""
        await accepted(town, store, bank)
        bank.payments["PM1"] = replace(bank.payments["PM1"], intent="debit:v1:ACC-2:2026-01:1")
        bank.tell("PM1", PaymentStatus.CONFIRMED)

        assert await followed(store, bank) == FollowCounts(contradicted=1)
        assert await town.states() == ["2026-01/1 review payment_changed"]
        assert await town.balances() == {"receivable": 74_297, "revenue": -74_297}

    async def test_asks_a_person_about_a_cancelled_debit_that_lives(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """We believed it had never been made; the bank shows it."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost"])
        await sent(store, bank)
        await pause(store=store, account_id="ACC-1", mandate_id="M-1", at=TO_RECORD)
        hidden = bank.payments.pop("PM1")
        await sent(store, bank, TO_RECORD + timedelta(hours=2))
        assert await town.states() == ["2026-01/1 cancelled withdrawn"]
        bank.payments["PM1"] = hidden
        bank.tell("PM1", PaymentStatus.SUBMITTED)

        assert await followed(store, bank) == FollowCounts(contradicted=1)
        assert await town.states() == ["2026-01/1 review contradiction"]

    async def test_ends_what_the_bank_has_ended(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The payer went to his bank instead of to us; what is announced is taken back."""
        await town.home()
        await told(store)
        bank.agree_to("MD1")
        await bank.cancel_mandate("MD1")
        bank.events.append(
            BankEvent(
                event_id="EV1", resource="mandates", action="cancelled", links={"mandate": "MD1"}
            )
        )

        assert await followed(store, bank) == FollowCounts(moved=1)
        assert await town.owner.fetchval("SELECT state FROM mandate") == "cancelled"
        assert await town.states() == ["2026-01/1 cancelled mandate_ended"]


class TestReread:
    """Looking again ..."""

    async def test_finds_what_no_event_told(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The list of events lost one; a day later the payment itself is read."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        early = TO_RECORD + timedelta(hours=23)

        assert await reread(store=store, bank=bank, at=early, limit=9) == FollowCounts()
        late = TO_RECORD + timedelta(days=1)
        assert await reread(store=store, bank=bank, at=late, limit=9) == FollowCounts(moved=1)

        assert await town.states() == ["2026-01/1 retry_due insufficient_funds"]

    async def test_happens_once_a_day(self, town: DebitTown, store: Debits, bank: FakeBank) -> None:
        """A payment without news is not asked about every minute."""
        await accepted(town, store, bank)
        late = TO_RECORD + timedelta(days=1)
        counts = await reread(store=store, bank=bank, at=late, limit=9)
        again = await reread(store=store, bank=bank, at=late + timedelta(hours=1), limit=9)

        assert counts == FollowCounts(unchanged=1)
        assert again == FollowCounts()
