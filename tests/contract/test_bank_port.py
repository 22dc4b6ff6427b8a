# ruff: noqa: D102 - each method of a bank moves it as its protocol says
"""What every bank behind the port promises, whatever stands behind it: an API, files, or a fake."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from billing.bank import (
    Accepted,
    BankMandate,
    BankRefusedError,
    Conflict,
    MandateStatus,
    Payment,
    PaymentStatus,
    Rejected,
)
from billing.io.bank import BankClient
from tests.billing.paper_bank import PaperBank, ordered
from tests.billing.recon_town import PayingBank
from tests.fixtures_bank import SimulatedBank, StartBank

KEY = "debit:v1:ACC-1:2026-01:1"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Bank(Protocol):
    """A bank, and how what is behind it is moved."""

    client: Any
    mandate_id: str
    # Whether there is a list of events beside the payments themselves.
    api: bool

    def order(self, key: str = KEY) -> bytes:
        """Return a frozen order that this bank takes."""

    async def submit(self, payment_id: str) -> None:
        """Let the bank take a payment up, too late for a change of mind."""

    async def pay_out(self, payment_id: str) -> None:
        """Let the money reach our account."""

    async def fail(self, payment_id: str) -> None:
        """Let the payer have too little money."""


@dataclass
class Fake:
    """The fake of the tests."""

    client: PayingBank
    mandate_id: str = "MD1"
    api: bool = True

    def order(self, key: str = KEY) -> bytes:
        return ordered(key)

    async def submit(self, payment_id: str) -> None:
        self.client.late = True
        self.client.tell(payment_id, PaymentStatus.SUBMITTED)

    async def pay_out(self, payment_id: str) -> None:
        self.client.tell(payment_id, PaymentStatus.PAID_OUT)
        self.client.pay_out((payment_id, "74297.0"), fee="0.0", amount_minor=74_297)

    async def fail(self, payment_id: str) -> None:
        self.client.tell(payment_id, PaymentStatus.FAILED, cause="insufficient_funds")


@dataclass
class Paper:
    """The bank without an API."""

    paper: PaperBank
    client: Any
    mandate_id: str = "MD1"
    api: bool = False

    def order(self, key: str = KEY) -> bytes:
        return ordered(key)

    async def submit(self, payment_id: str) -> None:
        self.paper.fetched()
        self.paper.says(payment_id, "ACCP")

    async def pay_out(self, payment_id: str) -> None:
        self.paper.fetched()
        self.paper.books(payment_id, 74_297)

    async def fail(self, payment_id: str) -> None:
        self.paper.fetched()
        self.paper.says(payment_id, "RJCT", "AM04")


@dataclass
class Simulated:
    """The simulated bank over real sockets, through the real client."""

    bank: SimulatedBank
    client: BankClient
    mandate_id: str
    api: bool = True

    def order(self, key: str = KEY) -> bytes:
        told = json.loads(ordered(key, mandate=self.mandate_id))
        told["payments"]["charge_date"] = "2026-02-25"
        return json.dumps(told).encode()

    async def submit(self, payment_id: str) -> None:
        await self._run("payment_submitted", payment_id)

    async def pay_out(self, payment_id: str) -> None:
        await self._run("payment_paid_out", payment_id)

    async def fail(self, payment_id: str) -> None:
        await self._run("payment_failed", payment_id)

    async def _run(self, name: str, resource: str) -> None:
        path = f"/scenario_simulators/{name}/actions/run"
        status, told = await self.bank.api(
            "POST", path, {"data": {"links": {"resource": resource}}}
        )
        assert status == 200, told


@pytest.fixture(params=["fake", "files", "simulated"])
async def bank(
    request: pytest.FixtureRequest, tmp_path: Path, start_bank: StartBank
) -> AsyncIterator[Bank]:
    """Give each kind of bank in turn."""
    if request.param == "fake":
        fake = PayingBank()
        fake.agree_to("MD1")
        yield Fake(fake)
    elif request.param == "files":
        paper = PaperBank(tmp_path / "bank")
        client = paper.client
        paper.signed()
        yield Paper(paper, client)
    else:
        simulated = await start_bank()
        mandate_id = await simulated.mandate()
        async with BankClient.open(url=simulated.url, token=simulated.token) as client:
            yield Simulated(simulated, client, mandate_id)


async def given(bank: Bank, key: str = KEY) -> Payment:
    answer = await bank.client.create_payment(bank.order(key), key)
    assert isinstance(answer, Accepted)
    return answer.payment


async def all_of(bank: Bank, mandate_id: str | None = None) -> list[Payment]:
    found = bank.client.list_payments(bank_mandate_id=mandate_id, created_from=LONG_AGO)
    return [one async for one in found]


class TestAnOrder:
    """An order to any bank ..."""

    async def test_is_taken_as_it_was_given(self, bank: Bank) -> None:
        """Amount, currency, mandate and our key come back, so that they can be compared."""
        payment = await given(bank)

        assert (payment.amount_minor, payment.currency) == (74_297, "KZT")
        assert (payment.bank_mandate_id, payment.intent) == (bank.mandate_id, KEY)
        assert payment.status is PaymentStatus.PENDING_SUBMISSION
        read = await bank.client.get_payment(payment.payment_id)
        assert (read.amount_minor, read.intent, read.status) == (74_297, KEY, payment.status)

    async def test_is_one_payment_under_one_key(self, bank: Bank) -> None:
        """Whoever did not hear asks again with the same key and bytes."""
        payment = await given(bank)
        again = await bank.client.create_payment(bank.order(), KEY)

        assert again == Conflict(payment_id=payment.payment_id)
        assert len(await all_of(bank)) == 1

    async def test_is_one_payment_however_many_ask_at_once(self, bank: Bank) -> None:
        """One is told that it was taken now, the others that it was taken before."""
        answers = await asyncio.gather(
            *(bank.client.create_payment(bank.order(), KEY) for _ in range(10))
        )

        assert sum(isinstance(one, Accepted) for one in answers) == 1
        assert sum(isinstance(one, Conflict) for one in answers) == 9
        assert len(await all_of(bank)) == 1

    async def test_is_another_payment_under_another_key(self, bank: Bank) -> None:
        """The next attempt is an order of its own."""
        one, two = await given(bank), await given(bank, "debit:v1:ACC-1:2026-01:2")

        assert one.payment_id != two.payment_id
        found = await all_of(bank, bank.mandate_id)
        assert {payment.intent for payment in found} == {KEY, "debit:v1:ACC-1:2026-01:2"}
        assert await all_of(bank, "MD-OTHER") == []

    async def test_may_be_none(self, bank: Bank) -> None:
        """A name that the bank does not know is not an error."""
        assert await bank.client.get_payment("PM-NONE") is None

    async def test_can_be_taken_back_in_time(self, bank: Bank) -> None:
        """Before the bank has taken it up."""
        payment = await given(bank)
        taken_back = await bank.client.cancel_payment(payment.payment_id)

        assert taken_back.status is PaymentStatus.CANCELLED
        read = await bank.client.get_payment(payment.payment_id)
        assert read.status is PaymentStatus.CANCELLED

    async def test_cannot_be_taken_back_too_late(self, bank: Bank) -> None:
        """Then the bank says no, and the payment goes on."""
        payment = await given(bank)
        await bank.submit(payment.payment_id)
        with pytest.raises(BankRefusedError):
            await bank.client.cancel_payment(payment.payment_id)

        read = await bank.client.get_payment(payment.payment_id)
        assert read.status is PaymentStatus.SUBMITTED


class TestWhatBecomesOfIt:
    """A payment at any bank ..."""

    async def test_is_paid_out(self, bank: Bank) -> None:
        """And stands in a payout, as the whole amount in tenths."""
        payment = await given(bank)
        await bank.pay_out(payment.payment_id)

        read = await bank.client.get_payment(payment.payment_id)
        assert read.status is PaymentStatus.PAID_OUT
        payouts = [one async for one in bank.client.list_payouts(created_from=LONG_AGO)]
        items = [
            item
            for one in payouts
            for item in await bank.client.list_payout_items(one.payout_id)
            if item.kind == "payment_paid_out"
        ]
        assert [(item.payment_id, item.amount_tenths) for item in items] == [
            (payment.payment_id, 742_970)
        ]

    async def test_fails_with_its_cause(self, bank: Bank) -> None:
        """The payment itself does not say why, its event does."""
        payment = await given(bank)
        await bank.fail(payment.payment_id)

        read = await bank.client.get_payment(payment.payment_id)
        assert read.status is PaymentStatus.FAILED
        page = await bank.client.list_events(payment_id=payment.payment_id, limit=50)
        told = [one for one in page.events if one.action == "failed"]
        assert [one.cause for one in told] == ["insufficient_funds"]

    async def test_tells_its_events_from_a_place_on(self, bank: Bank) -> None:
        """Newest first; whoever has read so far asks for what is newer."""
        payment = await given(bank)
        await bank.submit(payment.payment_id)
        first = await bank.client.list_events(limit=50)
        assert first.before == first.events[0].event_id
        await bank.pay_out(payment.payment_id)
        rest = await bank.client.list_events(before=first.before, limit=50)

        assert "paid_out" in {one.action for one in rest.events}
        old = {one.event_id for one in first.events}
        assert not old & {one.event_id for one in rest.events}
        newest = await bank.client.list_events(before=rest.before, limit=50)
        assert newest.events == ()

    async def test_tells_its_events_page_by_page(self, bank: Bank) -> None:
        """Walking back through all of them meets each once."""
        payment = await given(bank)
        await bank.submit(payment.payment_id)
        await bank.pay_out(payment.payment_id)
        whole = await bank.client.list_events(limit=50)
        seen, after = [], None
        for _ in range(50):
            page = await bank.client.list_events(after=after, limit=1)
            seen.extend(one.event_id for one in page.events)
            after = page.after
            if after is None:
                break

        assert seen == [one.event_id for one in whole.events]


class TestAMandate:
    """A mandate at any bank ..."""

    async def test_is_read(self, bank: Bank) -> None:
        """Of the account no more than its end is told."""
        mandate: BankMandate = await bank.client.get_mandate(bank.mandate_id)

        assert mandate.status is MandateStatus.ACTIVE
        ending = await bank.client.account_number_ending(mandate.bank_account_id)
        assert 0 < len(ending) <= 4

    async def test_may_be_none(self, bank: Bank) -> None:
        """Nobody has signed it."""
        assert await bank.client.get_mandate("MD-NONE") is None

    async def test_ends(self, bank: Bank) -> None:
        """And is over from then on."""
        ended = await bank.client.cancel_mandate(bank.mandate_id)
        assert ended.status is MandateStatus.CANCELLED
        answer = await bank.client.create_payment(bank.order(), KEY)

        assert isinstance(answer, Rejected)
        assert answer.reason == "mandate_is_inactive"
        again: BankMandate = await bank.client.get_mandate(bank.mandate_id)
        assert again.status is MandateStatus.CANCELLED
        assert await all_of(bank) == []
