"""Giving way: an old backup knows an earlier attempt for a bill than the bank has."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from billing.bank import BankEvent, BankSilentError, Payment, PaymentStatus
from billing.collect import collect
from billing.follow import FollowCounts
from billing.io.debits import Debits
from tests.billing.debit_town import (
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
from tests.billing.fake_bank import LOST, FakeBank

# The order of a second attempt, made in the days that the backup does not know.
SECOND_KEY = "debit:v1:ACC-1:2026-01:2"
SECOND = Payment(
    payment_id="PM1",
    status=PaymentStatus.SUBMITTED,
    amount_minor=74_297,
    currency="KZT",
    bank_mandate_id="MD1",
    intent=SECOND_KEY,
)


@pytest.fixture
def bank() -> FakeBank:
    """Let the bank have a payment that we forgot, under the key of January's second attempt."""
    bank = FakeBank()
    bank.payments["PM1"] = SECOND
    bank.keys[SECOND_KEY] = "PM1"
    bank.events.append(
        BankEvent(event_id="EV1", resource="payments", action="created", links={"payment": "PM1"})
    )
    return bank


class TestGiveWay:
    """An earlier attempt than the bank's ..."""

    async def test_is_taken_back_before_it_is_ordered(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """It is due this minute; but what the bank has is heard before anything is ordered."""
        await town.home()
        await told(store)

        await collect(store=store, bank=bank, at=TO_RECORD, zone=ZONE, limit=100)

        assert bank.orders == []
        assert (await town.states())[0] == "2026-01/1 cancelled later_attempt"

    async def test_leads_to_the_one_that_the_bank_has(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The next attempt has the bank's key, so the bank answers with the payment it has."""
        await town.home()
        await told(store)
        await followed(store, bank)
        await told(store, day("02-20"))
        await recorded(store)
        await sent(store, bank)

        assert await town.states() == [
            "2026-01/1 cancelled later_attempt",
            "2026-01/2 accepted",
        ]
        assert [key for _, key in bank.orders] == [SECOND_KEY]
        assert list(bank.payments) == ["PM1"]

    async def test_that_is_recorded_is_taken_back_with_its_money(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Written down and not sent: the bill is open again for the one that the bank has."""
        await town.home()
        await told(store)
        await recorded(store)

        await followed(store, bank)
        await sent(store, bank)

        assert await town.states() == ["2026-01/1 cancelled later_attempt"]
        assert await town.moves() == ["2026-01/1/pending", "2026-01/1/void"]
        assert bank.orders == []

    async def test_that_may_have_been_ordered_is_a_persons(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Sent and not answered: nobody sends it again before somebody has looked."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script.append(LOST)
        await sent(store, bank)
        assert await town.states() == ["2026-01/1 unknown timeout"]

        assert await followed(store, bank) == FollowCounts(unknown=1)

        assert await town.states() == ["2026-01/1 review later_attempt"]

    async def test_that_the_bank_has_too_is_left_to_its_news(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Its answer was lost, and what it says comes behind the other's: the order is the same."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script.append("lost")
        await sent(store, bank)
        bank.tell("PM2", PaymentStatus.FAILED, cause="insufficient_funds")

        assert await followed(store, bank) == FollowCounts(unknown=1, moved=1)

        assert await town.states() == ["2026-01/1 retry_due insufficient_funds"]

    async def test_waits_for_a_bank_that_is_silent(
        self, town: DebitTown, store: Debits, bank: FakeBank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whether it has a payment for the earlier one is asked again with the event."""
        await town.home()
        await told(store)

        async def silent(**_: object) -> AsyncIterator[Payment]:
            raise BankSilentError("timeout")
            yield SECOND

        monkeypatch.setattr(bank, "list_payments", silent)
        assert await followed(store, bank) == FollowCounts(silent=1)
        monkeypatch.undo()

        assert await followed(store, bank) == FollowCounts(unknown=1)

        assert await town.states() == ["2026-01/1 cancelled later_attempt"]

    async def test_that_has_a_payment_is_left_to_its_news(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """Its payment says by itself what became of it."""
        del bank.payments["PM1"], bank.keys[SECOND_KEY]
        bank.events.clear()
        await accepted(town, store, bank)
        bank.payments["PM2"] = replace(SECOND, payment_id="PM2")
        bank.hint("PM2", "created")

        assert await followed(store, bank) == FollowCounts(unknown=1)

        assert await town.states() == ["2026-01/1 accepted"]

    @pytest.mark.parametrize(
        "intent",
        [
            "debit:v1:ACC-2:2026-01:2",
            "debit:v1:ACC-1:2026-02:2",
            "debit:v1:ACC-1:2026-01:0",
            "debit:v1:ACC-1",
            None,
        ],
    )
    async def test_is_one_for_the_same_bill(
        self, town: DebitTown, store: Debits, bank: FakeBank, intent: str | None
    ) -> None:
        """A key of another account or bill, of no later attempt, or no key, says nothing of it."""
        bank.payments["PM1"] = replace(SECOND, intent=intent)
        await town.home()
        await told(store)

        assert await followed(store, bank) == FollowCounts(unknown=1)

        assert await town.states() == ["2026-01/1 noticed"]
