"""Our adapter under every fault that the simulated bank can have while an order comes in.

The table says by hand what the adapter may claim and what stands in the bank's books; it names each
fault that an order can meet, so that a new one is not forgotten.
"""

import json
from typing import Final

import pytest

from billing.bank import (
    Accepted,
    Answer,
    BankError,
    Conflict,
    Denied,
    NotExecuted,
    PaymentStatus,
    Unknown,
)
from billing.io.bank import BankClient
from simulators.bank.fault_table import KINDS
from simulators.bank.server import OPERATIONS
from tests.fixtures_bank import BANK_TOKEN, SimulatedBank

AMOUNT: Final = 74_297
# What the adapter says, and how many payments the bank then has under the order.
EXPECTED: Final = {
    "partition_requests": ("unknown", 0),
    "partition_answers": ("unknown", 1),
    "silent_before": ("unknown", 0),
    "silent_after": ("unknown", 1),
    "reordered": ("accepted", 1),
    "error_before": ("unknown", 0),
    "bad_gateway": ("unknown", 0),
    "unavailable": ("unknown", 0),
    "rate_limit": ("not_executed", 0),
    "rate_limit_bare": ("not_executed", 0),
    "unauthorized": ("denied", 0),
    "forbidden": ("denied", 0),
    "conflict_elsewhere": ("conflict", 0),
    "delivered_twice": ("conflict", 1),
    "key_forgotten": ("accepted", 1),
    "error_after": ("unknown", 1),
    "new_enum": ("accepted", 1),
    "extra_field": ("accepted", 1),
    "missing_optional": ("accepted", 1),
    "clock_skew": ("accepted", 1),
    "same_id": ("accepted", 1),
    "amount_wrong": ("accepted", 1),
    "delay": ("accepted", 1),
    "answer_lost": ("unknown", 1),
    "reset": ("unknown", 1),
    "garbled": ("unknown", 1),
    "slow_drip": ("accepted", 1),
}
# Faults that hold an answer longer than this adapter waits.
ENDLESS: Final = {"partition_requests", "partition_answers", "silent_before", "silent_after"}
WORDS: Final = {
    Accepted: "accepted",
    Conflict: "conflict",
    Denied: "denied",
    NotExecuted: "not_executed",
    Unknown: "unknown",
}


@pytest.fixture
def bank(near_bank: SimulatedBank) -> SimulatedBank:
    """Return a bank in this process, on real sockets."""
    return near_bank


def order(mandate_id: str) -> bytes:
    """Return an order as it is frozen before it is sent."""
    asked = {
        "amount": AMOUNT,
        "currency": "KZT",
        "links": {"mandate": mandate_id},
        "metadata": {"intent": "debit:v1:ACC-1:2026-01:1"},
    }
    return json.dumps({"payments": asked}).encode()


async def made(bank: SimulatedBank, mandate_id: str) -> list[dict[str, str]]:
    """Return the payments that the bank has under a mandate."""
    payments = (await bank.books())["payments"]
    return [one for one in payments if one["links"]["mandate"] == mandate_id]


async def send(bank: SimulatedBank, mandate_id: str, *, total_s: float = 20) -> Answer:
    """Give the order once."""
    async with BankClient.open(url=bank.url, token=BANK_TOKEN, total_s=total_s) as client:
        return await client.create_payment(order(mandate_id), "key-00001")


class TestOrder:
    """An order ..."""

    def test_is_tried_with_every_fault_it_can_meet(self) -> None:
        """A fault that is new in the bank's table is red here until somebody has thought of it."""
        (traits,) = [one.traits for one in OPERATIONS if one.name == "payments.create"]

        assert set(EXPECTED) == {name for name, kind in KINDS.items() if kind.suits in traits}

    @pytest.mark.parametrize("name", EXPECTED)
    async def test_is_never_said_to_be_more_certain_than_it_is(
        self, bank: SimulatedBank, name: str
    ) -> None:
        """Not executed and denied mean nothing was made; whatever else may be is unknown."""
        other, mandate_id = await bank.mandate(), await bank.mandate()
        await bank.api("POST", "/payments", json.loads(order(other)))
        bounds = {"seconds": 0.2} if name in {"reordered", "delay", "slow_drip"} else {}
        await bank.fault(name, "payments.create", **bounds)

        answer = await send(bank, mandate_id, total_s=1 if name in ENDLESS else 20)

        word, payments = EXPECTED[name]
        assert WORDS[type(answer)] == word
        assert len(await made(bank, mandate_id)) == payments
        assert (await bank.faults())[0]["fired"] >= 1

    async def test_that_found_nobody_was_not_executed(self, bank: SimulatedBank) -> None:
        """Not one byte has left: the only network failure that is certain."""
        mandate_id = await bank.mandate()
        await bank.fault("connection_refused", seconds=60)

        assert await send(bank, mandate_id) == NotExecuted(reason="unreachable")
        assert await made(bank, mandate_id) == []

    @pytest.mark.parametrize("name", EXPECTED)
    async def test_is_one_payment_when_it_is_sent_again(
        self, bank: SimulatedBank, name: str
    ) -> None:
        """Under the same key, whatever came of the first time: exactly one, and we find it."""
        mandate_id = await bank.mandate()
        bounds = {"seconds": 0.2} if name in {"reordered", "delay", "slow_drip"} else {}
        await bank.fault(name, "payments.create", **bounds)
        await send(bank, mandate_id, total_s=1 if name in ENDLESS else 20)
        await bank.heal()

        again = await send(bank, mandate_id)

        (payment,) = await made(bank, mandate_id)
        found = again.payment.payment_id if isinstance(again, Accepted) else None
        assert payment["id"] == (again.payment_id if isinstance(again, Conflict) else found)

    async def test_is_two_payments_where_the_bank_forgets_its_keys(
        self, bank: SimulatedBank
    ) -> None:
        """No key helps against a bank that loses it: that is why its list is read every day."""
        mandate_id = await bank.mandate()
        await send(bank, mandate_id)
        await bank.fault("key_forgotten", "payments.create")
        await send(bank, mandate_id)

        assert len(await made(bank, mandate_id)) == 2

    async def test_that_conflicts_is_read_before_it_is_believed(self, bank: SimulatedBank) -> None:
        """The adapter names what the bank named; that it is another's payment shows when read."""
        other, mandate_id = await bank.mandate(), await bank.mandate()
        await bank.api("POST", "/payments", json.loads(order(other)))
        await bank.fault("conflict_elsewhere", "payments.create")

        answer = await send(bank, mandate_id)

        assert isinstance(answer, Conflict)
        async with BankClient.open(url=bank.url, token=BANK_TOKEN) as client:
            named = await client.get_payment(answer.payment_id)
        assert named is not None
        assert named.bank_mandate_id == other


class TestReading:
    """A question ..."""

    async def test_to_a_replica_that_lags_finds_nothing_yet(self, bank: SimulatedBank) -> None:
        """None is no proof that a payment was not made: the order's key asks the bank itself."""
        mandate_id = await bank.mandate()
        answer = await send(bank, mandate_id)
        assert isinstance(answer, Accepted)
        await bank.fault("stale_read", "payments.get")
        async with BankClient.open(url=bank.url, token=BANK_TOKEN) as client:
            stale = await client.get_payment(answer.payment.payment_id)
            fresh = await client.get_payment(answer.payment.payment_id)

        assert stale is None
        assert fresh is not None
        assert fresh.status is PaymentStatus.PENDING_SUBMISSION

    @pytest.mark.parametrize(
        "name", ["bad_gateway", "error_before", "garbled", "unauthorized", "rate_limit"]
    )
    async def test_that_gets_no_answer_is_an_error_and_never_an_empty_one(
        self, bank: SimulatedBank, name: str
    ) -> None:
        """An empty list would mean that the bank has nothing of ours."""
        mandate_id = await bank.mandate()
        await send(bank, mandate_id)
        await bank.fault(name, "payments.list")
        async with BankClient.open(url=bank.url, token=BANK_TOKEN) as client:
            with pytest.raises(BankError):
                [
                    one
                    async for one in client.list_payments(
                        bank_mandate_id=mandate_id, created_from=None
                    )
                ]
