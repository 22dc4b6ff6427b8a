"""Ways back: retries of ours and the bank's, disputes taken back, debits that end for good."""

from datetime import date, timedelta

import pytest

from billing.announce import NoticeCounts
from billing.bank import BankEvent, Payment, PaymentStatus
from billing.decide import decide
from billing.decision import Decision, ReviewWord
from billing.enrol import change_caps
from billing.follow import FollowCounts, reread
from billing.io.debits import Debits
from billing.mandate import Caps
from billing.retry import close
from billing.stop_debit import stop_debit
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

# What the bank made for an order that an old backup does not know.
FORGOTTEN = Payment(
    payment_id="PM1",
    status=PaymentStatus.CONFIRMED,
    amount_minor=74_297,
    currency="KZT",
    bank_mandate_id="MD1",
    intent="debit:v1:ACC-1:2026-01:1",
)


@pytest.fixture
def bank() -> FakeBank:
    return FakeBank()


def fail_and_retry(bank: FakeBank) -> None:
    """Let a payment fail, with the bank's word that it will ask again by itself."""
    bank.tell("PM1", PaymentStatus.FAILED, action="x")
    bank.events[-1] = BankEvent(
        event_id=bank.events[-1].event_id,
        resource="payments",
        action="failed",
        links={"payment": "PM1"},
        cause="insufficient_funds",
        will_attempt_retry=True,
    )


async def hoping(town: DebitTown, store: Debits, bank: FakeBank) -> None:
    """Bring January's debit to where the bank asks for it again by itself."""
    await accepted(town, store, bank)
    fail_and_retry(bank)
    await followed(store, bank)


async def forgotten(town: DebitTown, store: Debits, bank: FakeBank) -> None:
    """Let the bank have a payment for a debit that ended before we know that it was ordered."""
    await town.home()
    await told(store)
    await stop_debit(store=store, debit_id=JANUARY, stopped_by="the resident", at=TO_RECORD)
    bank.payments["PM1"] = FORGOTTEN


async def decided(
    store: Debits, bank: FakeBank, decision: Decision, payment: str | None = None
) -> None:
    """Let a person decide about January's debit in review."""
    await decide(
        store=store,
        bank=bank,
        debit_id=JANUARY,
        word=ReviewWord(decision=decision, because="as seen", said_by="Olga", said_at=TO_RECORD),
        two_from_minor=1_000_000,
        bank_payment_id=payment,
        at=TO_RECORD,
    )


class TestTheBanksRetry:
    """A payment that the bank asks for again by itself ..."""

    async def test_is_never_asked_for_by_us(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Two who ask collect twice."""
        await hoping(town, store, bank)

        assert await town.states() == ["2026-01/1 failed bank_retries"]
        assert await told(store, day("03-20")) == NoticeCounts()

    async def test_uses_up_the_cap_of_the_month(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank may take it any day; the next bill beside it would be over what was allowed."""
        await hoping(town, store, bank)
        await change_caps(
            store=store,
            account_id="ACC-1",
            mandate_id="M-1",
            caps=Caps(payment_minor_max=100_000, month_minor_max=100_000),
            at=day("02-23"),
        )
        await town.bill(bill_no="2026-02")

        await told(store, day("02-23"))

        assert await town.states() == [
            "2026-01/1 failed bank_retries",
            "2026-02/1 held over_month_cap",
        ]

    async def test_is_told_without_a_day_of_ours(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """It had been ours to ask again on the 27th; then the bank took that over."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank)
        bank.tell("PM1", PaymentStatus.SUBMITTED, action="resubmission_requested")
        await followed(store, bank)
        fail_and_retry(bank)
        await followed(store, bank)

        assert await town.states() == ["2026-01/1 failed bank_retries"]
        told_days = await town.owner.fetch(
            "SELECT about ->> 'retry_on' AS retry_on FROM message WHERE kind = 'retry'"
            " ORDER BY length(message_id), message_id"
        )
        assert [one["retry_on"] for one in told_days] == ["2026-02-27", None]

    async def test_is_the_same_debit(self, town: DebitTown, store: Debits, bank: FakeBank) -> None:
        """Failed, asked for again, taken: one attempt, one key, booked once."""
        await hoping(town, store, bank)
        bank.tell("PM1", PaymentStatus.SUBMITTED, action="resubmission_requested")

        assert await followed(store, bank) == FollowCounts(moved=1)
        assert await town.states() == ["2026-01/1 submitted"]
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        await followed(store, bank)

        assert await town.states() == ["2026-01/1 confirmed"]
        assert await town.balances() == {"collections_in_transit": 74_297, "revenue": -74_297}

    async def test_is_found_by_looking(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Its event was lost; the daily look finds it, and the bank's list says which way."""
        await hoping(town, store, bank)
        bank.tell("PM1", PaymentStatus.SUBMITTED, action="resubmission_requested")

        counts = await reread(store=store, bank=bank, at=day("03-10"), limit=9)

        assert counts == FollowCounts(moved=1)
        assert await town.states() == ["2026-01/1 submitted"]

    async def test_that_failed_before_we_heard_of_it_counts_by_its_last_cause(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Empty at first, then the payer had died: nothing is hoped for any more."""
        await hoping(town, store, bank)
        bank.tell("PM1", PaymentStatus.SUBMITTED, action="resubmission_requested")
        bank.tell("PM1", PaymentStatus.FAILED, cause="payer_deceased")

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 exhausted payer_deceased"]
        assert await town.owner.fetchval("SELECT enrolment FROM mandate") == "paused"
        assert await town.balances() == {"receivable": 74_297, "revenue": -74_297}

    async def test_that_failed_for_the_last_time_gives_the_turn_to_us(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank has given up, and we did not hear that it tried: the bill is not forgotten."""
        await hoping(town, store, bank)
        bank.tell("PM1", PaymentStatus.SUBMITTED, action="resubmission_requested")
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 retry_due insufficient_funds"]

    async def test_takes_back_ours_that_the_bank_has_not_seen(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """It had not said so; ours was announced, and gives way."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank)
        await told(store, day("02-27"))
        bank.tell("PM1", PaymentStatus.SUBMITTED, action="resubmission_requested")

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 submitted", "2026-01/2 cancelled bank_retries"]

    async def test_never_gives_two_while_ours_is_at_the_bank(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Both may take money: a person is called, and no third one begins."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank)
        await told(store, day("02-27"))
        await recorded(store, day("03-01"))
        await sent(store, bank, day("03-01"))
        bank.tell("PM1", PaymentStatus.SUBMITTED, action="resubmission_requested")

        assert await followed(store, bank) == FollowCounts(contradicted=1)
        assert await town.states() == [
            "2026-01/1 failed insufficient_funds",
            "2026-01/2 accepted",
        ]

    async def test_is_not_begun_again_by_old_news_of_the_first(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """An event that comes late finds the first one failed, and its successor on its way."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank)
        await told(store, day("02-27"))
        assert (await town.states())[0] == "2026-01/1 failed insufficient_funds"
        bank.hint("PM1", "submitted")

        assert await followed(store, bank) == FollowCounts(unchanged=1)
        assert (await town.states())[0] == "2026-01/1 failed insufficient_funds"

    async def test_that_never_comes_is_given_up(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Sixty days after the failure; the reason stays, for the person who is asked."""
        await hoping(town, store, bank)

        early = TO_RECORD + timedelta(days=60) - timedelta(seconds=1)
        assert await close(store=store, at=early, limit=9) == 0
        assert await close(store=store, at=early + timedelta(seconds=1), limit=9) == 1
        assert await town.states() == ["2026-01/1 exhausted bank_retries"]


class TestOurRetry:
    """A bill whose debit failed ..."""

    async def test_that_nobody_wants_any_more_is_given_up(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Who has paused since is not asked for ever; after sixty days he pays by hand."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank)
        assert await town.states() == ["2026-01/1 retry_due insufficient_funds"]

        early = TO_RECORD + timedelta(days=60) - timedelta(seconds=1)
        assert await close(store=store, at=early, limit=9) == 0
        assert await close(store=store, at=early + timedelta(seconds=1), limit=9) == 1
        assert await town.states() == ["2026-01/1 exhausted insufficient_funds"]
        assert await town.balances() == {"receivable": 74_297, "revenue": -74_297}

    async def test_is_asked_for_after_five_days_and_after_twelve(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Each with a notice and a key of its own; then never again."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank)  # on the 22nd
        assert await told(store, day("02-26")) == NoticeCounts()
        assert await told(store, day("02-27")) == NoticeCounts(noticed=1)
        await recorded(store, day("03-01"))
        await sent(store, bank, day("03-01"))
        bank.tell("PM2", PaymentStatus.FAILED, cause="refer_to_payer")
        await followed(store, bank, day("03-05"))
        assert await told(store, day("03-16")) == NoticeCounts()
        assert await told(store, day("03-17")) == NoticeCounts(noticed=1)
        await recorded(store, day("03-21"))
        await sent(store, bank, day("03-21"))
        bank.tell("PM3", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank, day("03-26"))

        assert await town.states() == [
            "2026-01/1 failed insufficient_funds",
            "2026-01/2 failed refer_to_payer",
            "2026-01/3 exhausted insufficient_funds",
        ]
        days = await town.owner.fetch("SELECT charge_on FROM notice ORDER BY attempt")
        assert [row[0] for row in days] == [
            date(2026, 2, 25),
            date(2026, 3, 4),
            # Told on the 17th: of the days to the 26th only the 18th to the 20th are open.
            date(2026, 3, 26),
        ]
        assert len({key for _, key in bank.orders}) == 3
        assert await told(store, day("06-01")) == NoticeCounts()

    @pytest.mark.parametrize("cause", ["payer_deceased", "authorisation_disputed"])
    async def test_stops_everything_where_a_person_must_speak(
        self, town: DebitTown, store: Debits, bank: FakeBank, cause: str
    ) -> None:
        """Given up, and the mandate rests: next month's bill is not debited either."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause=cause)
        await followed(store, bank)

        assert await town.states() == [f"2026-01/1 exhausted {cause}"]
        assert await town.owner.fetchval("SELECT enrolment FROM mandate") == "paused"


class TestADispute:
    """A chargeback ..."""

    async def test_of_the_banks_retry_is_heard_although_the_retry_was_not(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Asked for again, taken and disputed while we were deaf: nothing more is asked for."""
        await hoping(town, store, bank)
        bank.tell("PM1", PaymentStatus.SUBMITTED, action="resubmission_requested")
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        bank.tell("PM1", PaymentStatus.CHARGED_BACK, cause="authorisation_disputed")

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 charged_back authorisation_disputed"]
        assert await town.owner.fetchval("SELECT enrolment FROM mandate") == "paused"
        assert await town.balances() == {"receivable": 74_297, "revenue": -74_297}

    async def test_of_our_failed_first_takes_back_our_second(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank asked again without a word; who disputes is not asked a second time by us."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank)
        await told(store, day("02-27"))
        bank.tell("PM1", PaymentStatus.CHARGED_BACK, cause="authorisation_disputed")

        await followed(store, bank, day("02-28"))

        assert await town.states() == [
            "2026-01/1 charged_back authorisation_disputed",
            "2026-01/2 cancelled bank_retries",
        ]
        assert await town.owner.fetchval("SELECT enrolment FROM mandate") == "paused"

    async def test_of_what_was_never_sent_is_for_a_person(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """An old backup had forgotten the order; its money came and went, and no row says so."""
        await forgotten(town, store, bank)
        bank.tell("PM1", PaymentStatus.CHARGED_BACK, cause="authorisation_disputed")

        assert await followed(store, bank) == FollowCounts(contradicted=1)
        assert await town.states() == ["2026-01/1 review contradiction"]

    async def test_of_what_a_person_has_ended_is_nothing_new(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """He saw what the bank shows, and said that nothing more is asked."""
        await forgotten(town, store, bank)
        bank.tell("PM1", PaymentStatus.CHARGED_BACK, cause="authorisation_disputed")
        await followed(store, bank)
        await decided(store, bank, Decision.GIVE_UP)
        bank.hint("PM1", "charged_back")

        assert await followed(store, bank) == FollowCounts(unchanged=1)
        assert await town.states() == ["2026-01/1 exhausted given_up_by_person"]

    @pytest.mark.parametrize(
        ("before", "status"),
        [("confirmed", PaymentStatus.CONFIRMED), ("settled", PaymentStatus.PAID_OUT)],
    )
    async def test_that_is_cancelled_leads_back(
        self, town: DebitTown, store: Debits, bank: FakeBank, before: str, status: PaymentStatus
    ) -> None:
        """To where it came from, with the money where it was."""
        await accepted(town, store, bank)
        bank.tell("PM1", status)
        await followed(store, bank)
        balances = await town.balances()
        bank.tell("PM1", PaymentStatus.CHARGED_BACK, cause="authorisation_disputed")
        await followed(store, bank)
        assert await town.owner.fetchval("SELECT before_chargeback FROM debit") == before
        bank.tell("PM1", status, action="chargeback_cancelled")

        await followed(store, bank)

        assert await town.states() == [f"2026-01/1 {before} chargeback_cancelled"]
        assert await town.balances() == balances
        assert await town.owner.fetchval("SELECT enrolment FROM mandate") == "paused"

    async def test_that_was_matched_is_matched_again(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The statement line it was matched with is still there."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.PAID_OUT)
        await followed(store, bank)
        await town.owner.execute("UPDATE debit SET state = 'reconciled'")
        bank.tell("PM1", PaymentStatus.CHARGED_BACK, cause="authorisation_disputed")
        await followed(store, bank)
        bank.tell("PM1", PaymentStatus.PAID_OUT, action="chargeback_cancelled")

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 reconciled chargeback_cancelled"]

    async def test_is_not_undone_by_an_old_status(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank's reads may lag: confirmed after a chargeback needs its word that it is over."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        bank.tell("PM1", PaymentStatus.CHARGED_BACK, cause="authorisation_disputed")
        await followed(store, bank)
        bank.tell("PM1", PaymentStatus.CONFIRMED, action="confirmed")

        assert await followed(store, bank) == FollowCounts(contradicted=1)
        assert await town.states() == ["2026-01/1 review contradiction"]

    async def test_that_nobody_took_back_ends(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """After sixty days the resident is asked by a person."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.CHARGED_BACK, cause="authorisation_disputed")
        await followed(store, bank)

        assert await close(store=store, at=TO_RECORD + timedelta(days=60), limit=9) == 1
        assert await town.states() == ["2026-01/1 exhausted authorisation_disputed"]


class TestAForgottenOrder:
    """An order that an old backup does not know ..."""

    async def test_that_took_money_is_adopted_by_a_person(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank has the money: it is booked, and given back to who had said no."""
        await forgotten(town, store, bank)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        await followed(store, bank)
        assert await town.states() == ["2026-01/1 review contradiction"]

        await decided(store, bank, Decision.ADOPT, payment="PM1")

        assert await town.states() == ["2026-01/1 confirmed cancel_too_late"]
        assert await town.moves() == ["2026-01/1/pending", "2026-01/1/posted"]
        assert await town.refunds() == ["2026-01/1 74297 cancel_too_late"]
