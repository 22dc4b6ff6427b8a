"""What a bank should never say: kept with a reason, put before a person, and nothing moves."""

from collections import deque
from dataclasses import replace
from datetime import timedelta

import pytest

from billing.bank import (
    Accepted,
    BankEvent,
    BankGarbledError,
    Payment,
    PaymentStatus,
    Unknown,
)
from billing.follow import FollowCounts, reread
from billing.io.debits import Debits
from billing.send import SendCounts
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
from tests.billing.fake_bank import FakeBank

OURS = Payment(
    payment_id="PM1",
    status=PaymentStatus.PENDING_SUBMISSION,
    amount_minor=74_297,
    currency="KZT",
    bank_mandate_id="MD1",
    intent="debit:v1:ACC-1:2026-01:1",
)
OTHERS = {
    "another amount": replace(OURS, amount_minor=742_970),
    "another currency": replace(OURS, currency="EUR"),
    "the mandate of another customer": replace(OURS, bank_mandate_id="MD2"),
    "the order of another": replace(OURS, intent="debit:v1:ACC-2:2026-01:1"),
    "no order": replace(OURS, intent=None),
}


@pytest.fixture
def bank() -> FakeBank:
    return FakeBank()


class TestAnAnswer:
    """An answer to our order ..."""

    @pytest.mark.parametrize("other", OTHERS)
    async def test_that_names_something_else_waits_for_a_person(
        self, town: DebitTown, store: Debits, bank: FakeBank, other: str
    ) -> None:
        """The bank says yes, to what nobody has ordered: no name is kept, no money is booked."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([Accepted(payment=OTHERS[other])])

        assert await sent(store, bank) == SendCounts(review=1)
        assert await town.states() == ["2026-01/1 review answer_mismatch"]
        assert await town.owner.fetchval("SELECT bank_payment_id FROM debit") is None
        assert await town.moves() == ["2026-01/1/pending"]

    async def test_that_cannot_be_read_is_asked_for_again(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A page of HTML may hide a yes: the same key, the same bytes."""
        await town.home()
        await told(store)
        await recorded(store)
        bank.script = deque([Unknown(reason="not_json")])

        assert await sent(store, bank) == SendCounts(unknown=1)
        assert await town.states() == ["2026-01/1 unknown not_json"]
        assert await sent(store, bank, TO_RECORD + timedelta(minutes=2)) == SendCounts(accepted=1)
        assert len(set(bank.orders)) == 1


class TestNews:
    """News of a payment ..."""

    @pytest.mark.parametrize(
        "other", ["another amount", "another currency", "the mandate of another customer"]
    )
    async def test_that_changed_under_way_waits_for_a_person(
        self, town: DebitTown, store: Debits, bank: FakeBank, other: str
    ) -> None:
        """It was ours when it was accepted; what it is now is not booked as taken."""
        await accepted(town, store, bank)
        bank.payments["PM1"] = OTHERS[other]
        bank.tell("PM1", PaymentStatus.CONFIRMED)

        assert await followed(store, bank) == FollowCounts(contradicted=1)
        assert await town.states() == ["2026-01/1 review payment_changed"]
        assert await town.balances() == {"receivable": 74_297, "revenue": -74_297}

    async def test_of_a_second_payment_with_our_key_is_not_followed(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank made two for one key: which of them is ours is for a person to say."""
        await accepted(town, store, bank)
        bank.payments["PM2"] = replace(bank.payments["PM1"], payment_id="PM2")
        bank.tell("PM2", PaymentStatus.CONFIRMED)

        assert await followed(store, bank) == FollowCounts(contradicted=1)

        assert await town.states() == ["2026-01/1 review payment_changed"]
        assert "2026-01/1/posted" not in await town.moves()

    async def test_in_a_word_we_do_not_know_changes_nothing(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """The bank may invent statuses and actions; guessing would move money."""
        await accepted(town, store, bank)
        bank.payments["PM1"] = replace(bank.payments["PM1"], status=None)
        bank.hint("PM1", "teleported")

        assert await followed(store, bank) == FollowCounts(unknown=1)
        assert await town.states() == ["2026-01/1 accepted"]

    async def test_of_a_failure_in_a_word_we_do_not_know_is_never_asked_again(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """A cause nobody has heard of, or one that is no word, heals with no day."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.FAILED, cause="<b>Mercury in retrograde</b>")

        await followed(store, bank)

        assert await town.states() == ["2026-01/1 exhausted other"]

    async def test_that_nobody_can_read_is_read_again(
        self,
        town: DebitTown,
        store: Debits,
        bank: FakeBank,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """HTML where JSON belongs: nothing is believed, nothing lost."""
        await accepted(town, store, bank)

        async def garbled(_: str) -> Payment | None:
            raise BankGarbledError("not_json")

        with monkeypatch.context() as patch:
            patch.setattr(bank, "get_payment", garbled)
            counts = await reread(store=store, bank=bank, at=day("02-25"), limit=9)
        assert counts == FollowCounts(silent=1)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        await reread(store=store, bank=bank, at=day("02-25"), limit=9)

        assert await town.states() == ["2026-01/1 confirmed"]

    async def test_without_a_name_is_counted_and_stands_in_nobodys_way(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """One event that cannot be remembered must not keep all others of the list from us."""
        await accepted(town, store, bank)
        bank.tell("PM1", PaymentStatus.CONFIRMED)
        bank.nameless = 2

        counts = await followed(store, bank)

        assert counts == FollowCounts(moved=1, nameless=2)
        assert await town.states() == ["2026-01/1 confirmed"]
        assert await store.bank_cursor() == "EV1"

    async def test_of_last_month_says_nothing_new(
        self, town: DebitTown, store: Debits, bank: FakeBank
    ) -> None:
        """All its events once more, under other names: what counts is the payment as it stands."""
        await accepted(town, store, bank)
        for status in (PaymentStatus.SUBMITTED, PaymentStatus.CONFIRMED, PaymentStatus.PAID_OUT):
            bank.tell("PM1", status)
        await followed(store, bank)
        moves = await town.moves()
        bank.events += [
            BankEvent(
                event_id=f"EV9{number}", resource="payments", action=one.action, links=one.links
            )
            for number, one in enumerate(reversed(bank.events))
        ]

        await followed(store, bank, day("03-25"))

        assert await town.states() == ["2026-01/1 settled"]
        assert await town.moves() == moves
