"""Giving back: exactly once, never more than was taken, and never while a chargeback is open."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from billing.bank import (
    BankRefund,
    Denied,
    Made,
    NotExecuted,
    PaymentStatus,
    RefundStatus,
    Rejected,
    Unknown,
)
from billing.debit import DebitId
from billing.give_back import (
    GiveBackCounts,
    RefundRefusedError,
    ask_back,
    give_back,
    release_refund,
)
from billing.io.debits import Debits
from billing.refund import Cause, Refund, RefundId
from billing.refund_order import NotGiven
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

FIRST = RefundId(account_id="ACC-1", bill_no="2026-01", attempt=1, refund_no=1)
TOTAL_MINOR = 74_297


@pytest.fixture
def bank() -> FakeBank:
    return FakeBank()


async def collected(town: DebitTown, store: Debits, bank: FakeBank) -> None:
    """Bring January's money to our account."""
    await accepted(town, store, bank)
    bank.tell("PM1", PaymentStatus.PAID_OUT)
    await followed(store, bank)


async def asked(
    store: Debits,
    amount_minor: int = TOTAL_MINOR,
    cause: Cause = Cause.OPERATOR,
    *,
    debit_id: DebitId = JANUARY,
) -> Refund:
    return await ask_back(
        store=store,
        debit_id=debit_id,
        amount_minor=amount_minor,
        cause=cause,
        asked_by="Olga N.",
        because="a call of the resident",
        at=TO_RECORD,
    )


async def given(store: Debits, bank: FakeBank, at: object = TO_RECORD) -> GiveBackCounts:
    return await give_back(store=store, bank=bank, at=at, limit=100)  # type: ignore[arg-type]


async def states(town: DebitTown) -> list[str]:
    rows = await town.owner.fetch(
        "SELECT refund_no, state, reason FROM refund ORDER BY account_id, bill_no, refund_no"
    )
    return [" ".join(str(part) for part in row if part is not None) for row in rows]


class TestGiveBack:
    """Money that was taken wrongly ..."""

    async def test_goes_back_the_way_it_came(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Asked for, ordered, paid, cut from a payout; the bill is owed again."""
        await collected(town, store, bank)
        await asked(store)

        counts = await given(store, bank)

        assert (counts.recorded, counts.accepted) == (1, 1)
        assert await states(town) == ["1 pending"]
        bank.tell_refund("RF1", RefundStatus.PAID, action="paid")
        bank.tell_refund("RF1", RefundStatus.PAID, action="refund_settled")
        await followed(store, bank)
        assert await states(town) == ["1 settled"]
        assert await town.balances() == {"receivable": TOTAL_MINOR, "revenue": -TOTAL_MINOR}

    async def test_is_owed_to_the_resident_from_the_moment_it_is_asked_for(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """What we owe is in the books before anything is sent."""
        await collected(town, store, bank)
        await asked(store, 5_000)

        assert await town.balances() == {
            "bank": TOTAL_MINOR,
            "receivable": 5_000,
            "refunds_payable": -5_000,
            "revenue": -TOTAL_MINOR,
        }

    async def test_is_ordered_in_frozen_bytes_under_its_own_key(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The order stands in the database, with its key, before its first byte leaves."""
        await collected(town, store, bank)
        await asked(store, 5_000)
        bank.refund_script.append(Unknown(reason="timeout"))
        await given(store, bank)

        row = await town.owner.fetchrow("SELECT idempotency_key, body, sends FROM refund")

        assert row["idempotency_key"] == "refund:v1:ACC-1:2026-01:1:1"
        assert bank.refund_orders == [(row["body"], row["idempotency_key"])]
        assert json.loads(row["body"])["refunds"]["total_amount_confirmation"] == 5_000
        assert row["sends"] == 1

    async def test_that_waits_after_a_correction_goes_by_itself(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A bill that was too high is made good the same day, and nobody has to ask."""
        await collected(town, store, bank)
        await _too_much(town, 7_430)

        counts = await given(store, bank)

        assert (counts.asked, counts.recorded, counts.accepted) == (1, 1, 1)
        assert bank.refunds["RF1"].amount_minor == 7_430
        assert (await given(store, bank, day("02-23"))).asked == 0
        bank.tell_refund("RF1", RefundStatus.PAID, action="paid")
        await followed(store, bank)
        assert await town.balances() == {
            "bank": TOTAL_MINOR - 7_430,
            "revenue": -TOTAL_MINOR + 7_430,
        }

    async def test_waits_for_a_hand_where_no_debit_can_carry_it(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A bill that was paid by hand has no way back through the bank."""
        await town.home()
        await _too_much(town, 7_430)

        assert await given(store, bank) == GiveBackCounts()
        assert (await town.balances())["refund_due"] == -7_430

    async def test_that_came_back_is_not_sent_again_by_itself(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The payer's account is closed; sending it there again would only bounce again."""
        await collected(town, store, bank)
        await _too_much(town, 7_430)
        await given(store, bank)
        bank.tell_refund("RF1", RefundStatus.BOUNCED, action="failed")
        await followed(store, bank)

        counts = await given(store, bank, day("02-24"))

        assert counts == GiveBackCounts()
        assert await states(town) == ["1 bounced"]
        assert (await town.balances())["refund_due"] == -7_430

    async def test_is_seen_even_if_every_event_is_lost(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """What is silent for a day is read again."""
        await collected(town, store, bank)
        await asked(store)
        await given(store, bank)
        bank.refunds["RF1"] = replace(bank.refunds["RF1"], status=RefundStatus.PAID)

        early = await given(store, bank, TO_RECORD + timedelta(hours=23))
        late = await given(store, bank, TO_RECORD + timedelta(days=1))

        assert (early.moved, late.moved) == (0, 1)
        assert await states(town) == ["1 paid"]


async def _too_much(town: DebitTown, amount_minor: int) -> None:
    """Let January have been too high by so much, and its money wait to be sent back."""
    for name, debit, credit in (
        ("bill/2026-01/less", "revenue", "receivable"),
        ("credit/2026-01/1", "receivable", "resident_credit"),
        ("refund/2026-01/2", "resident_credit", "refund_due"),
    ):
        await town.owner.execute(
            "INSERT INTO transfer VALUES ('ACC-1', $1, 'posted', $2, $3, $4, 'KZT', '2026-01', $5)",
            name,
            debit,
            credit,
            amount_minor,
            TO_RECORD,
        )


class TestExactlyOnce:
    """Whatever the network does ..."""

    @pytest.mark.parametrize("answer", ["lost", Unknown(reason="timeout")])
    async def test_one_refund_is_made(
        self, town: DebitTown, store: Debits, bank: FakeBank, answer: object
    ) -> None:
        """The same key and the same bytes, until we know."""
        await collected(town, store, bank)
        await asked(store, 5_000)
        bank.refund_script.append(answer)  # type: ignore[arg-type]
        first = await given(store, bank)

        second = await given(store, bank, TO_RECORD + timedelta(minutes=1))

        assert (first.unknown, second.accepted) == (1, 1)
        assert len(set(bank.refund_orders)) == 1
        assert len(bank.refunds) == 1
        assert await states(town) == ["1 pending"]

    async def test_a_refusal_after_a_lost_answer_is_looked_into_first(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank made it the first time; its refusal of the second is about something else."""
        await collected(town, store, bank)
        await asked(store, 5_000)
        bank.refund_script.extend(["lost", Rejected(reason="number_of_refunds_exceeded")])
        await given(store, bank)

        counts = await given(store, bank, TO_RECORD + timedelta(minutes=1))

        assert counts.accepted == 1
        assert await states(town) == ["1 pending"]

    async def test_a_death_on_the_way_asks_again_with_the_same_key(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The lease runs out, and whoever comes next knows what to ask."""
        await collected(town, store, bank)
        await asked(store, 5_000)

        class Dead(FakeBank):
            async def create_refund(self, body: bytes, key: str) -> Made:
                await bank.create_refund(body, key)
                raise RuntimeError("killed")

        with pytest.raises(RuntimeError):
            await given(store, Dead(payments=bank.payments))
        assert await states(town) == ["1 sending"]

        counts = await given(store, bank, TO_RECORD + timedelta(minutes=5))

        assert counts.accepted == 1
        assert len(set(bank.refund_orders)) == 1
        assert len(bank.refunds) == 1

    async def test_two_processes_make_one(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Eight at once, as after a restart storm."""
        await collected(town, store, bank)
        await asked(store, 5_000)

        await asyncio.gather(*(given(store, bank) for _ in range(8)))

        assert len(bank.refunds) == 1
        assert len(set(bank.refund_orders)) == 1
        assert await states(town) == ["1 pending"]

    async def test_two_clicks_ask_once(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """An operator whose page hangs clicks again."""
        await collected(town, store, bank)

        await asyncio.gather(*(asked(store, 5_000) for _ in range(5)))

        assert await states(town) == ["1 requested"]

    async def test_too_many_requests_are_no_refund(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """It certainly did nothing, so the order is sent later."""
        await collected(town, store, bank)
        await asked(store)
        bank.refund_script.append(NotExecuted(reason="rate_limited", retry_after_s=90))

        first = await given(store, bank)
        early = await given(store, bank, TO_RECORD + timedelta(seconds=89))
        second = await given(store, bank, TO_RECORD + timedelta(seconds=90))

        assert (first.not_executed, early, second.accepted) == (1, GiveBackCounts(), 1)

    async def test_after_the_key_is_forgotten_we_only_look(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A key that the bank has forgotten would make a second refund."""
        await collected(town, store, bank)
        await asked(store)
        bank.refund_script.append(Unknown(reason="timeout"))
        await given(store, bank)

        counts = await given(store, bank, TO_RECORD + timedelta(days=7))

        assert counts.review == 1
        assert len(bank.refund_orders) == 1
        assert await states(town) == ["1 review unresolved"]
        assert await release_refund(store=store, refund_id=FIRST, at=day("03-02"))
        assert await states(town) == ["1 unknown"]

    async def test_news_may_overtake_the_answer(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The event of a refund whose answer got lost finds it by its key."""
        await collected(town, store, bank)
        await asked(store)
        bank.refund_script.append("lost")
        await given(store, bank)
        bank.tell_refund("RF1", RefundStatus.PAID, action="paid")

        await followed(store, bank)

        assert await states(town) == ["1 paid"]

    async def test_a_refund_that_is_not_what_we_ordered_is_not_ours(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """An amount echoed wrong goes before a person."""
        await collected(town, store, bank)
        await asked(store, 5_000)
        strange = BankRefund(
            refund_id="RF9",
            status=RefundStatus.CREATED,
            amount_minor=5_001,
            currency="KZT",
            payment_id="PM1",
            intent="refund:v1:ACC-1:2026-01:1:1",
        )
        bank.refund_script.append(Made(refund=strange))

        await given(store, bank)

        assert await states(town) == ["1 review answer_mismatch"]

    @pytest.mark.parametrize(
        "changed",
        [{"amount_minor": 742_970}, {"currency": "EUR"}, {"payment_id": "PM2"}, {"intent": None}],
        ids=str,
    )
    async def test_a_refund_that_changed_under_way_is_not_booked(
        self, town: DebitTown, store: Debits, bank: FakeBank, changed: dict[str, Any]
    ) -> None:
        """It was ours when it was made; what it is now is somebody's question."""
        await collected(town, store, bank)
        await asked(store)
        await given(store, bank)
        before = await town.balances()
        bank.refunds["RF1"] = replace(bank.refunds["RF1"], **changed)
        bank.tell_refund("RF1", RefundStatus.PAID, action="paid")

        counts = await followed(store, bank)

        assert counts.contradicted == 1
        assert await states(town) == ["1 review refund_changed"]
        assert await town.balances() == before

    async def test_wrong_credentials_wait_for_a_person(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The token was rotated in the middle of the run."""
        await collected(town, store, bank)
        await asked(store)
        bank.refund_script.append(Denied(reason="credentials"))

        await given(store, bank)

        assert await states(town) == ["1 review credentials"]


class TestLimits:
    """Nobody gets more back than was taken ..."""

    async def test_by_one_refund(self, town: DebitTown, store: Debits, bank: FakeBank) -> None:
        """One tiyn too much is refused before the bank is asked."""
        await collected(town, store, bank)

        with pytest.raises(RefundRefusedError, match="more_than_taken"):
            await asked(store, TOTAL_MINOR + 1)

        assert bank.refund_orders == []

    async def test_by_many_at_once(self, town: DebitTown, store: Debits, bank: FakeBank) -> None:
        """Ten operators with other amounts: together they reach the sum and no further."""
        await collected(town, store, bank)

        answers = await asyncio.gather(
            *(asked(store, 20_000 + number) for number in range(10)), return_exceptions=True
        )

        granted = [one for one in answers if isinstance(one, Refund)]
        refused = [one for one in answers if isinstance(one, RefundRefusedError)]
        assert (len(granted), len(refused)) == (3, 7)
        assert sum(one.amount_minor for one in granted) <= TOTAL_MINOR

    async def test_even_if_the_code_believed_otherwise(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The table itself refuses the sum."""
        await collected(town, store, bank)
        await asked(store, 70_000)

        with pytest.raises(asyncpg.CheckViolationError, match="never_more_than_taken"):
            await town.owner.execute(
                "INSERT INTO refund (account_id, bill_no, attempt, refund_no, state, amount_minor,"
                " currency, cause, source, asked_by, asked_at, debit_minor, before_minor,"
                " changed_at) SELECT account_id, bill_no, attempt, 2, state, 5000, currency, cause,"
                " source, asked_by, asked_at, debit_minor, 70000, changed_at FROM refund"
            )

    async def test_of_money_that_never_came(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """What is under way may still fail."""
        await accepted(town, store, bank)

        with pytest.raises(RefundRefusedError, match="not_collected"):
            await asked(store)

    async def test_of_too_much_where_nothing_was(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A bill that was paid to the tiyn was not overcharged."""
        await collected(town, store, bank)

        with pytest.raises(RefundRefusedError, match="nothing_to_give_back"):
            await asked(store, 1, Cause.OVERCHARGED)

    async def test_of_an_attempt_that_never_was(self, store: Debits) -> None:
        """A typing error is an answer, not a crash."""
        async with store.begin() as desk:
            answer = await desk.ask_refund(
                replace(JANUARY, attempt=9), 1, Cause.OPERATOR, asked_by="x", at=TO_RECORD
            )

        assert answer == NotGiven(reason="no_such_debit")

    async def test_one_after_the_other(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The second says what goes back in all, so it waits until the first is certain."""
        await collected(town, store, bank)
        await asked(store, 5_000)
        await asked(store, 6_000)
        bank.refund_script.append("lost")

        first = await given(store, bank)
        again = await given(store, bank, TO_RECORD + timedelta(minutes=1))
        then = await given(store, bank, TO_RECORD + timedelta(minutes=2))

        assert (first.recorded, first.waiting, first.unknown) == (1, 1, 1)
        assert (again.accepted, again.waiting) == (1, 1)
        assert (then.recorded, then.accepted) == (1, 1)
        totals = [
            json.loads(body)["refunds"]["total_amount_confirmation"]
            for body, _ in dict.fromkeys(bank.refund_orders)
        ]
        assert totals == [5_000, 11_000]

    async def test_where_the_bank_counts_otherwise_it_is_asked_what(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """We had not heard that the first came back; the list tells, and a fresh order says so."""
        await collected(town, store, bank)
        await asked(store, 5_000)
        await given(store, bank)
        bank.refunds["RF1"] = replace(bank.refunds["RF1"], status=RefundStatus.BOUNCED)
        await asked(store, 6_000)

        first = await given(store, bank, TO_RECORD + timedelta(minutes=1))
        second = await given(store, bank, TO_RECORD + timedelta(minutes=2))

        assert (first.refused, second.accepted) == (1, 1)
        assert await states(town) == ["1 pending", "2 refused counted_otherwise", "3 pending"]
        assert bank.refunds["RF2"].amount_minor == 6_000
        # One key, one body, for ever.
        assert len({key for _, key in bank.refund_orders}) == len(set(bank.refund_orders)) == 3

    async def test_a_refund_that_somebody_else_made_needs_a_person(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Somebody at the bank's own page gave money back: we do not guess what for."""
        await collected(town, store, bank)
        bank.refunds["RF1"] = BankRefund(
            refund_id="RF1",
            status=RefundStatus.PAID,
            amount_minor=100,
            currency="KZT",
            payment_id="PM1",
            intent=None,
        )
        await asked(store, 6_000)

        await given(store, bank)

        assert await states(town) == ["1 review foreign_refund"]

    async def test_a_refusal_of_the_bank_moves_nothing(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bill stays paid, and the reason stands there."""
        await collected(town, store, bank)
        await asked(store)
        bank.refund_script.append(Rejected(reason="available_refund_amount_insufficient"))

        counts = await given(store, bank)

        assert counts.refused == 1
        assert await states(town) == ["1 refused available_refund_amount_insufficient"]
        assert await town.balances() == {"bank": TOTAL_MINOR, "revenue": -TOTAL_MINOR}


class TestChargeback:
    """While the resident's own bank takes the money back ..."""

    async def test_nothing_is_asked_for(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """We would pay it twice."""
        await collected(town, store, bank)
        bank.tell("PM1", PaymentStatus.CHARGED_BACK)
        await followed(store, bank)

        with pytest.raises(RefundRefusedError, match="chargeback_open"):
            await asked(store)

    async def test_nothing_that_was_asked_for_is_ordered(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The guard is asked again in the transaction that freezes the order."""
        await collected(town, store, bank)
        await asked(store)
        bank.tell("PM1", PaymentStatus.CHARGED_BACK)
        await followed(store, bank)

        await given(store, bank)

        assert await states(town) == ["1 refused chargeback_open"]
        steps = await town.owner.fetch("SELECT to_state FROM refund_step ORDER BY step_no")
        assert [row["to_state"] for row in steps] == ["requested", "refused"]
        assert bank.refund_orders == []

    async def test_nothing_that_was_ordered_is_sent(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """It was written down, the bank was busy, and then the chargeback came."""
        await collected(town, store, bank)
        await asked(store)
        bank.refund_script.append(NotExecuted(reason="unreachable"))
        await given(store, bank)
        bank.tell("PM1", PaymentStatus.CHARGED_BACK)
        await followed(store, bank)

        await given(store, bank, TO_RECORD + timedelta(minutes=1))

        assert await states(town) == ["1 refused chargeback_open"]
        assert len(bank.refund_orders) == 1
        assert await town.balances() == {
            "chargebacks_receivable": TOTAL_MINOR,
            "revenue": -TOTAL_MINOR,
        }

    async def test_what_may_have_been_sent_is_only_looked_for(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """An hour later the bank's list says that it never came."""
        await collected(town, store, bank)
        await asked(store)
        bank.refund_script.append(Unknown(reason="timeout"))
        await given(store, bank)
        bank.tell("PM1", PaymentStatus.CHARGED_BACK)
        await followed(store, bank)

        soon = await given(store, bank, TO_RECORD + timedelta(minutes=5))
        later = await given(store, bank, TO_RECORD + timedelta(hours=2))

        assert (soon.unknown, later.refused) == (1, 1)
        assert len(bank.refund_orders) == 1
        assert await states(town) == ["1 refused chargeback_open"]

    async def test_after_a_refund_the_books_say_what_it_cost(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """He has the money twice: he owes the bill, and once more what he got."""
        await collected(town, store, bank)
        await asked(store)
        await given(store, bank)
        bank.tell_refund("RF1", RefundStatus.PAID, action="paid")
        await followed(store, bank)

        bank.tell("PM1", PaymentStatus.CHARGED_BACK)
        bank.hint("PM1", "chargeback_settled")
        await followed(store, bank)

        assert await town.balances() == {
            "bank": -TOTAL_MINOR,
            "receivable": 2 * TOTAL_MINOR,
            "revenue": -TOTAL_MINOR,
        }
        assert await states(town) == ["1 paid"]


class TestTheNextAttempt:
    """A debit that failed after its money was given back ..."""

    @pytest.mark.parametrize("status", [RefundStatus.PAID, RefundStatus.BOUNCED])
    async def test_asks_for_the_bill_and_for_no_more(
        self, town: DebitTown, store: Debits, bank: FakeBank, status: RefundStatus
    ) -> None:
        """He owes the bill; what we gave back besides a person asks for, or has kept."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        await followed(store, bank)
        await asked(store)
        await given(store, bank)
        bank.tell_refund("RF1", status, action="paid")
        bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
        await followed(store, bank, day("02-26"))

        await next_attempt(store, bank)

        assert bank.payments["PM2"].amount_minor == TOTAL_MINOR


class TestDoubleDebit:
    """A payment that we had given up, and that the bank has taken after all ..."""

    async def test_goes_back_the_same_day_where_another_attempt_is_at_the_bank(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank asked once more by itself, beside our own second attempt: both were taken."""
        await two_attempts(town, store, bank)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        await followed(store, bank, day("03-13"))

        counts = await given(store, bank, day("03-13"))

        assert (counts.recorded, counts.accepted) == (1, 1)
        assert [(one.payment_id, one.amount_minor) for one in bank.refunds.values()] == [
            ("PM1", TOTAL_MINOR)
        ]
        bank.tell("PM1", PaymentStatus.PAID_OUT)
        bank.tell("PM2", PaymentStatus.PAID_OUT)
        bank.tell_refund("RF1", RefundStatus.PAID, action="paid")
        await followed(store, bank, day("03-14"))
        await given(store, bank, day("03-14"))
        assert await states(town) == ["1 paid"]
        assert len(bank.refunds) == 1
        assert await town.balances() == {"bank": TOTAL_MINOR, "revenue": -TOTAL_MINOR}

    async def test_waits_for_a_hand_where_it_does_not_arrive(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """It is his all the same."""
        await two_attempts(town, store, bank)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        await followed(store, bank, day("03-13"))
        await given(store, bank, day("03-13"))
        bank.tell_refund("RF1", RefundStatus.BOUNCED, action="failed")

        await followed(store, bank, day("03-14"))

        assert await states(town) == ["1 bounced"]
        assert (await town.balances())["refund_due"] == -TOTAL_MINOR


async def two_attempts(town: DebitTown, store: Debits, bank: FakeBank) -> None:
    """Let January's first attempt fail, and bring the second to the bank."""
    await accepted(town, store, bank)
    bank.tell("PM1", PaymentStatus.FAILED, cause="insufficient_funds")
    await followed(store, bank, day("02-26"))
    await next_attempt(store, bank)


async def next_attempt(store: Debits, bank: FakeBank) -> None:
    """Wait until the bill was asked for again."""
    for number in range(1, 15):
        at = day("02-26") + timedelta(days=number)
        await told(store, at)
        await recorded(store, at)
        await sent(store, bank, at)
    assert "PM2" in bank.payments
