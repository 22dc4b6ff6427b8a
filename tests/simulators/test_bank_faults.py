"""The faults a conductor orders: exactly so many, exactly there, and honest about the books."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from tests.fixtures_bank import SimulatedBank


async def pay(bank: SimulatedBank, mandate_id: str, key: str = "k") -> tuple[int, dict[str, Any]]:
    """Ask for one payment under a key."""
    asked = {"amount": 7, "currency": "KZT", "links": {"mandate": mandate_id}}
    return await bank.api("POST", "/payments", {"payments": asked}, key=key)


async def count(bank: SimulatedBank) -> int:
    """Return how many payments the bank knows."""
    books = await bank.books()
    total: int = books["totals"]["payments"]
    return total


class TestFault:
    """A fault ..."""

    @pytest.mark.parametrize(
        ("name", "status", "kind", "payments"),
        [
            ("error_before", 500, "gocardless", 0),
            ("error_after", 500, "gocardless", 1),
            ("rate_limit", 429, "invalid_api_usage", 0),
            ("forbidden", 403, "invalid_api_usage", 0),
        ],
    )
    async def test_refuses_in_the_envelope(
        self, bank: SimulatedBank, name: str, status: int, kind: str, payments: int
    ) -> None:
        """Before and after look the same from outside: that is what UNKNOWN means."""
        mandate_id = await bank.mandate()
        await bank.fault(name, "payments.create")

        struck, answer = await pay(bank, mandate_id)

        assert (struck, answer["error"]["type"]) == (status, kind)
        assert await count(bank) == payments
        after, _ = await pay(bank, mandate_id)
        assert after == (409 if payments else 201)
        assert await count(bank) == 1

    async def test_loses_the_answer_after_the_deed(self, bank: SimulatedBank) -> None:
        """The most dangerous fault: the payment exists, and nobody has told us."""
        mandate_id = await bank.mandate()
        await bank.fault("answer_lost", "payments.create")

        with pytest.raises(aiohttp.ClientConnectionError):
            await pay(bank, mandate_id)

        assert await count(bank) == 1
        again, conflict = await pay(bank, mandate_id)
        made = (await bank.books())["payments"][0]["id"]
        assert again == 409
        assert conflict["error"]["errors"][0]["links"] == {"conflicting_resource_id": made}

    async def test_holds_the_answer_back(self, bank: SimulatedBank) -> None:
        """A late yes after our time limit is still a yes in the bank's books."""
        mandate_id = await bank.mandate()
        await bank.fault("delay", "payments.create", seconds=60)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(pay(bank, mandate_id), 0.3)

        assert await count(bank) == 1

    async def test_waits_as_long_as_told(self, bank: SimulatedBank) -> None:
        """A short delay still answers, with the answer itself unharmed."""
        mandate_id = await bank.mandate()
        await bank.fault("delay", "payments.create", seconds=0.3)
        begun = time.monotonic()

        status, _ = await pay(bank, mandate_id)

        assert status == 201
        assert time.monotonic() - begun >= 0.3

    async def test_garbles_the_answer_after_the_deed(self, bank: SimulatedBank) -> None:
        """Half an answer is no answer."""
        mandate_id = await bank.mandate()
        await bank.fault("garbled", "payments.create")

        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            await pay(bank, mandate_id)

        assert await count(bank) == 1

    async def test_speaks_html_like_a_proxy(self, bank: SimulatedBank) -> None:
        """Not everything between us and the bank is the bank."""
        mandate_id = await bank.mandate()
        await bank.fault("bad_gateway", "payments.create")

        with pytest.raises(aiohttp.ContentTypeError):
            await pay(bank, mandate_id)

        assert await count(bank) == 0

    async def test_strikes_only_its_operation_and_only_so_often(self, bank: SimulatedBank) -> None:
        """A test that hits more than it aimed at proves nothing."""
        mandate_id = await bank.mandate()
        await bank.fault("error_before", "payments.create", times=2)

        listed, _ = await bank.api("GET", "/payments")
        codes = [(await pay(bank, mandate_id))[0] for _ in range(3)]

        assert (listed, codes) == (200, [500, 500, 201])
        assert await bank.faults() == [
            {
                "name": "error_before",
                "operation": "payments.create",
                "times": 2,
                "seconds": 0.0,
                "fired": 2,
            }
        ]

    async def test_is_not_used_up_by_a_stranger(self, bank: SimulatedBank) -> None:
        """A request without the token never reaches the fault."""
        await bank.fault("error_before")
        async with bank.session.get(bank.url + "/payments") as answer:
            assert answer.status == 401

        assert (await bank.faults())[0]["fired"] == 0

    async def test_can_be_switched_off(self, bank: SimulatedBank) -> None:
        """The end of a story needs a healthy bank."""
        await bank.fault("error_before", times=100)
        await bank.heal()

        assert (await bank.api("GET", "/payments"))[0] == 200
        assert await bank.faults() == []

    @pytest.mark.parametrize(
        "wanted",
        [
            {"name": "earthquake"},
            {"name": "delay", "operation": "payments.forgive"},
            {"name": "delay", "seconds": 10_000},
            {"name": "delay", "times": 0},
            {"name": "delay", "times": True},
            {"name": "delay", "colour": "red"},
            ["delay"],
        ],
        ids=str,
    )
    async def test_that_does_not_exist_is_refused(
        self, shared_bank: SimulatedBank, wanted: object
    ) -> None:
        """A misspelled fault that silently does nothing makes a test that tests nothing."""
        async with shared_bank.session.post(
            shared_bank.control_url + "/faults", json=wanted
        ) as answer:
            assert answer.status == 422

        assert await shared_bank.faults() == []
