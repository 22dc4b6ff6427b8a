"""Debits in review: a person names the step, the bank must show that it may be taken."""

from collections import deque
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from billing.announce import NoticeCounts
from billing.bank import Conflict, Denied, PaymentStatus
from billing.decide import (
    Decided,
    NotInReviewError,
    NotLegalError,
    decide,
    paid_out_again,
    payout_bounced,
    unmatched,
)
from billing.decision import Decision, ReviewWord
from billing.follow import reread
from billing.io.debits import Debits
from billing.send import SendCounts
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
from tests.billing.fake_bank import LOST, FakeBank

LATER = TO_RECORD + timedelta(hours=2)


@pytest.fixture
def bank() -> FakeBank:
    return FakeBank()


async def denied(town: DebitTown, store: Debits, bank: FakeBank) -> None:
    """Bring January's debit before a person: the bank did not know our token."""
    await town.home()
    await told(store)
    await recorded(store)
    bank.script = deque([Denied(reason="credentials")])
    await sent(store, bank)
    assert await town.states() == ["2026-01/1 review credentials"]


async def say(
    store: Debits,
    bank: FakeBank,
    decision: Decision,
    *,
    by: str = "Olga",
    two_from_minor: int = 1_000_000,
    payment: str | None = None,
    at: datetime = LATER,
) -> Decided:
    return await decide(
        store=store,
        bank=bank,
        debit_id=JANUARY,
        word=ReviewWord(decision=decision, because="as seen", said_by=by, said_at=LATER),
        two_from_minor=two_from_minor,
        bank_payment_id=payment,
        at=at,
    )


class TestADecision:
    """A debit in review ..."""

    async def test_is_asked_for_again_under_its_key(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Released: the same key and bytes, never others."""
        await denied(town, store, bank)

        assert not (await say(store, bank, Decision.RELEASE)).waits
        assert await town.states() == ["2026-01/1 unknown released"]
        assert await sent(store, bank, LATER) == SendCounts(accepted=1)
        assert len(set(bank.orders)) == 1

    async def test_is_given_up(self, town: DebitTown, store: Debits, bank: FakeBank) -> None:
        """Nothing was taken, nothing is asked: the resident pays by hand."""
        await denied(town, store, bank)

        await say(store, bank, Decision.GIVE_UP)

        assert await town.states() == ["2026-01/1 exhausted given_up_by_person"]
        assert await town.moves() == ["2026-01/1/pending", "2026-01/1/void"]
        assert await told(store, day("03-20")) == NoticeCounts()

    async def test_begins_anew(self, town: DebitTown, store: Debits, bank: FakeBank) -> None:
        """With a notice, a key and days of its own."""
        await denied(town, store, bank)

        await say(store, bank, Decision.BEGIN_ANEW)
        await told(store, day("02-23"))

        assert await town.states() == ["2026-01/1 cancelled begin_anew", "2026-01/2 noticed"]

    @pytest.mark.parametrize("decision", [Decision.GIVE_UP, Decision.BEGIN_ANEW])
    async def test_is_never_forgotten_while_the_bank_has_it(
        self, town: DebitTown, store: Debits, bank: FakeBank, decision: Decision
    ) -> None:
        """The bank's list shows a living payment: a second debit would follow."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost", Denied(reason="credentials")])
        await sent(store, bank)
        await sent(store, bank, TO_RECORD + timedelta(minutes=2))

        with pytest.raises(NotLegalError, match="bank_has_it"):
            await say(store, bank, decision)
        assert await town.states() == ["2026-01/1 review credentials"]
        assert await town.owner.fetchval("SELECT count(*) FROM review_word") == 0

    @pytest.mark.parametrize("decision", [Decision.GIVE_UP, Decision.BEGIN_ANEW])
    @pytest.mark.parametrize("named", ["PM9", "PM404"])
    async def test_is_not_forgotten_because_a_person_named_another_payment(
        self, town: DebitTown, store: Debits, bank: FakeBank, decision: Decision, named: str
    ) -> None:
        """Mistyped, or a neighbour's payment that failed: what the bank has of ours counts."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost", Denied(reason="credentials")])
        await sent(store, bank)
        await sent(store, bank, TO_RECORD + timedelta(minutes=2))
        bank.payments["PM9"] = replace(
            bank.payments["PM1"], payment_id="PM9", intent=None, status=PaymentStatus.FAILED
        )

        with pytest.raises(NotLegalError, match="bank_has_it"):
            await say(store, bank, decision, payment=named)
        assert await town.states() == ["2026-01/1 review credentials"]

    @pytest.mark.parametrize("decision", [Decision.GIVE_UP, Decision.BEGIN_ANEW])
    async def test_is_not_forgotten_before_the_banks_list_can_show_it(
        self, town: DebitTown, store: Debits, bank: FakeBank, decision: Decision
    ) -> None:
        """An order whose answer was lost may be made and not listed yet."""
        await denied(town, store, bank)

        with pytest.raises(NotLegalError, match="not_listed_yet"):
            await say(store, bank, decision, at=TO_RECORD + timedelta(minutes=59))
        await say(store, bank, decision, at=TO_RECORD + timedelta(minutes=60))

    async def test_begins_anew_only_if_no_payment_under_its_key_lives(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The payment that we know has ended, and the bank made another for the same order."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED)
        bank.payments["PM2"] = replace(
            bank.payments["PM1"], payment_id="PM2", status=PaymentStatus.SUBMITTED
        )
        await town.owner.execute("UPDATE debit SET state = 'review', reason = 'contradiction'")

        with pytest.raises(NotLegalError, match="bank_has_it"):
            await say(store, bank, Decision.BEGIN_ANEW)

    async def test_goes_on_with_the_payment_that_is_ours(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Adopted, it is followed like any other, from where the bank has it."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque(["lost", Denied(reason="credentials")])
        await sent(store, bank)
        await sent(store, bank, TO_RECORD + timedelta(minutes=2))
        bank.tell("PM1", PaymentStatus.CONFIRMED)

        await say(store, bank, Decision.ADOPT)

        assert await town.states() == ["2026-01/1 confirmed"]
        assert await town.balances() == {"collections_in_transit": 74_297, "revenue": -74_297}

    async def test_never_adopts_a_payment_of_another(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Under our key the bank has another amount: no person's word makes that ours."""
        await accepted(town, store, bank)
        bank.payments["PM9"] = replace(bank.payments["PM1"], payment_id="PM9", amount_minor=1)
        await town.owner.execute(
            "UPDATE debit SET state = 'review', reason = 'idempotency_mismatch'"
        )

        with pytest.raises(NotLegalError, match="payment_differs"):
            await say(store, bank, Decision.ADOPT, payment="PM9")
        with pytest.raises(NotLegalError, match="no_payment"):
            await say(store, bank, Decision.ADOPT, payment="PM404")

    async def test_is_not_released_after_a_contradiction(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """What the bank has shown is not asked for again."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank)
        bank.tell("PM1", PaymentStatus.SUBMITTED)
        await followed(store, bank)
        assert await town.states() == ["2026-01/1 review contradiction"]

        with pytest.raises(NotLegalError, match="not_releasable"):
            await say(store, bank, Decision.RELEASE)
        await say(store, bank, Decision.ADOPT)
        assert await town.states() == ["2026-01/1 submitted"]

    async def test_waits_for_a_second_person_when_it_is_large(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """One person twice is one; another who says something else is not a second."""
        await denied(town, store, bank)
        most = 74_297

        assert (await say(store, bank, Decision.GIVE_UP, two_from_minor=most)).waits
        assert (await say(store, bank, Decision.GIVE_UP, two_from_minor=most)).waits
        other = await say(store, bank, Decision.BEGIN_ANEW, by="Timur", two_from_minor=most)
        assert other.waits
        assert await town.states() == ["2026-01/1 review credentials"]

        last = await say(store, bank, Decision.GIVE_UP, by="Timur", two_from_minor=most)
        assert not last.waits
        assert [(one.said_by, one.decision.value) for one in last.words] == [
            ("Olga", "give_up"),
            ("Timur", "begin_anew"),
            ("Timur", "give_up"),
        ]
        assert await town.states() == ["2026-01/1 exhausted given_up_by_person"]

    async def test_waits_for_a_person_of_another_name(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Small letters and spaces make no second person, here as little as for the whole run."""
        await denied(town, store, bank)

        for name in ("Olga", "olga", " OLGA "):
            said = await say(store, bank, Decision.GIVE_UP, by=name, two_from_minor=74_297)
            assert said.waits
        assert await town.states() == ["2026-01/1 review credentials"]

    async def test_needs_one_person_just_below(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The threshold is the first sum that needs two."""
        await denied(town, store, bank)

        assert not (await say(store, bank, Decision.GIVE_UP, two_from_minor=74_298)).waits

    async def test_is_decided_once(self, town: DebitTown, store: Debits, bank: FakeBank) -> None:
        """The second click finds nothing that waits."""
        await denied(town, store, bank)
        await say(store, bank, Decision.GIVE_UP)

        with pytest.raises(NotInReviewError):
            await say(store, bank, Decision.RELEASE)


class TestUnknown:
    """A debit of which nobody knows ..."""

    async def test_comes_before_a_person_when_the_statement_is_matched_without_it(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Nothing left that could still tell; a person asks the bank."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([LOST])
        await sent(store, bank)

        assert await unmatched(store=store, debit_id=JANUARY, at=LATER)
        assert not await unmatched(store=store, debit_id=JANUARY, at=LATER)
        assert await town.states() == ["2026-01/1 review unresolved"]

    async def test_whose_key_belongs_to_another_order_stops_for_a_person(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The gravest word a bank can say: nothing goes on by itself."""
        await accepted(town, store, bank)
        bank.payments["PM1"] = replace(bank.payments["PM1"], amount_minor=1)
        await town.bill(bill_no="2026-02")
        await told(store, TO_RECORD)
        await recorded(store, day("02-25"))
        bank.script = deque([Conflict(payment_id="PM1")])

        assert await sent(store, bank, day("02-25")) == SendCounts(review=1)
        assert (await town.states())[1] == "2026-02/1 review idempotency_mismatch"


class TestAPayout:
    """A payout that came back to the bank ..."""

    @pytest.mark.parametrize("state", ["settled", "reconciled"])
    async def test_puts_the_money_on_its_way_again(
        self, town: DebitTown, store: Debits, bank: FakeBank, state: str
    ) -> None:
        """Taken from the resident, not with us; the next payout settles it."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.PAID_OUT)
        await followed(store, bank)
        await town.owner.execute("UPDATE debit SET state = $1", state)

        assert await payout_bounced(store=store, debit_id=JANUARY, at=LATER)
        assert await town.states() == ["2026-01/1 confirmed payout_bounced"]
        assert await town.balances() == {"collections_in_transit": 74_297, "revenue": -74_297}
        assert not await payout_bounced(store=store, debit_id=JANUARY, at=LATER)

    async def test_is_not_settled_by_the_status_that_never_changed(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank's payment says paid_out all along; only another payout settles it again."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.PAID_OUT)
        await followed(store, bank)
        await payout_bounced(store=store, debit_id=JANUARY, at=LATER)

        await reread(store=store, bank=bank, at=day("02-26"), limit=9)

        assert await town.states() == ["2026-01/1 confirmed payout_bounced"]
        assert await paid_out_again(store=store, debit_id=JANUARY, at=day("02-27"))
        assert not await paid_out_again(store=store, debit_id=JANUARY, at=day("02-27"))
        assert await town.states() == ["2026-01/1 settled"]
        assert await town.balances() == {"bank": 74_297, "revenue": -74_297}
