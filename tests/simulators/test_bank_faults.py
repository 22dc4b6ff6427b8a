"""The faults a conductor orders: exactly so many, exactly there, and honest about the books."""

import asyncio
import re
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from simulators.bank.fault_table import KINDS
from tests.fixtures_bank import SimulatedBank

README: Final = Path(__file__).parents[2] / "simulators" / "README.md"


@pytest.fixture
def bank(near_bank: SimulatedBank) -> SimulatedBank:
    """Return a bank in this process: what stands on its sockets is what is tested here."""
    return near_bank


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
        asked = asyncio.create_task(pay(bank, mandate_id))
        async with asyncio.timeout(30):
            while await count(bank) < 1:
                assert not asked.done()
        asked.cancel()

        assert (await pay(bank, mandate_id))[0] == 409
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
                "percent": None,
                "seed": 0,
                "copies": 1,
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
            {"name": "delay", "percent": 0},
            {"name": "delay", "percent": 101},
            {"name": "delay", "seed": "seven"},
            {"name": "stale_read", "operation": "payments.create"},
            {"name": "page_shift", "operation": "payments.get"},
            {"name": "same_id", "operation": "payments.get"},
            {"name": "amount_wrong", "operation": "mandates.get"},
            {"name": "clock_skew", "seconds": 864_001},
            {"name": "connection_refused", "percent": 5},
            {"name": "connection_refused", "times": 2},
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


class TestRate:
    """A fault that strikes so many in a hundred ..."""

    async def test_strikes_the_same_requests_again_with_the_same_seed(
        self, bank: SimulatedBank
    ) -> None:
        """A story that went wrong once must go wrong again, or nobody can look into it."""
        told: list[list[int]] = []
        for seed in (7, 7, 8):
            await bank.heal()
            await bank.fault("error_before", "payments.list", percent=30, seed=seed)
            told.append([(await bank.api("GET", "/payments"))[0] for _ in range(60)])

        assert told[0] == told[1] != told[2]
        assert 8 <= told[0].count(500) <= 30
        assert (await bank.faults())[0]["fired"] == told[2].count(500)

    async def test_strikes_all_of_them_at_a_hundred(self, bank: SimulatedBank) -> None:
        """The end of the scale means always, without a count that runs out."""
        await bank.fault("error_before", "payments.list", percent=100)

        codes = [(await bank.api("GET", "/payments"))[0] for _ in range(5)]

        assert codes == [500] * 5

    async def test_stops_at_its_count(self, bank: SimulatedBank) -> None:
        """A rate and a count together: rarely, and not for ever."""
        await bank.fault("error_before", "payments.list", percent=100, times=2)

        codes = [(await bank.api("GET", "/payments"))[0] for _ in range(3)]

        assert codes == [500, 500, 200]

    async def test_lets_those_through_that_it_does_not_suit(self, bank: SimulatedBank) -> None:
        """A fault of reading aimed at everything leaves the writing alone."""
        await bank.fault("stale_read", percent=100)

        status, _ = await bank.api("POST", "/customers", {"customers": {"company_name": "Bakery"}})

        assert status == 201
        assert (await bank.faults())[0]["fired"] == 0


class TestTable:
    """The table of faults in the README ..."""

    def test_names_every_fault_and_no_other(self) -> None:
        """Whoever conducts the bank reads the table, not the code."""
        text = README.read_text(encoding="utf-8")
        rows = dict(re.findall(r"^\| `(\w+)` \| \w+ \|[^|]*\| (.+) \|$", text, re.MULTILINE))

        assert rows == {name: kind.says for name, kind in KINDS.items()}
