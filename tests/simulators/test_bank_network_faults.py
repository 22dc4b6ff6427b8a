"""Every fault of the network between a client and the bank, over real sockets."""

import asyncio
import contextlib
import time
from typing import Any

import aiohttp
import pytest

from tests.fixtures_bank import SimulatedBank


@pytest.fixture
def bank(near_bank: SimulatedBank) -> SimulatedBank:
    """Return a bank in this process: what stands on its sockets is what is tested here."""
    return near_bank


async def pay(bank: SimulatedBank, mandate_id: str, key: str = "k") -> tuple[int, dict[str, Any]]:
    """Ask for one payment under a key."""
    asked = {"amount": 7, "currency": "KZT", "links": {"mandate": mandate_id}}
    return await bank.api("POST", "/payments", {"payments": asked}, key=key)


async def greet(bank: SimulatedBank) -> tuple[int, dict[str, Any]]:
    """Make a customer: a POST, which no library repeats by itself."""
    return await bank.api("POST", "/customers", {"customers": {"company_name": "Bakery"}})


async def count(bank: SimulatedBank) -> int:
    """Return how many payments the bank knows."""
    total: int = (await bank.books())["totals"]["payments"]
    return total


class TestListener:
    """A listener that is shut ..."""

    async def test_refuses_and_comes_back_on_its_port(self, bank: SimulatedBank) -> None:
        """A bank that restarts is nobody for a moment; its address stays the same."""
        mandate_id = await bank.mandate()
        await bank.fault("connection_refused", seconds=60)

        # The first may still go out over a connection that was open, and is cut.
        with pytest.raises(aiohttp.ClientConnectionError):
            await pay(bank, mandate_id)
        with pytest.raises(aiohttp.ClientConnectorError):
            await pay(bank, mandate_id)
        assert await count(bank) == 0
        assert (await bank.faults())[0]["fired"] == 1

        await bank.heal()
        assert (await pay(bank, mandate_id))[0] == 201

    async def test_opens_by_itself(self, bank: SimulatedBank) -> None:
        """Nobody has to be awake for the end of an outage."""
        await bank.fault("connection_refused", seconds=0.2)

        status = 0
        async with asyncio.timeout(30):
            while not status:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    status, _ = await bank.api("GET", "/payments")
        assert status == 200

    async def test_cuts_who_is_still_waiting(self, bank: SimulatedBank) -> None:
        """An answer on its way dies with the process that was to give it."""
        mandate_id = await bank.mandate()
        await bank.fault("delay", "payments.create", seconds=60)
        asked = asyncio.create_task(pay(bank, mandate_id))
        await fired(bank)
        await bank.fault("connection_refused", seconds=60)

        with pytest.raises(aiohttp.ClientConnectionError):
            await asked
        assert await count(bank) == 1

    async def test_is_nobodys_operation(self, bank: SimulatedBank) -> None:
        """A door is shut for all."""
        async with bank.session.post(
            bank.control_url + "/faults",
            json={"name": "connection_refused", "operation": "payments.create"},
        ) as answer:
            assert answer.status == 422


async def counts(bank: SimulatedBank, payments: int) -> None:
    """Wait until the bank knows so many payments, and see that it knows no more."""
    async with asyncio.timeout(30):
        while (known := await count(bank)) < payments:
            assert known < payments
    assert await count(bank) == payments


async def fired(bank: SimulatedBank) -> None:
    """Wait until the first fault has struck."""
    async with asyncio.timeout(30):
        struck = False
        while not struck:
            struck = bool((await bank.faults())[0]["fired"])


class TestSilence:
    """A connection that goes silent ..."""

    @pytest.mark.parametrize(
        ("name", "payments"),
        [
            ("silent_before", 0),
            ("silent_after", 1),
            ("partition_requests", 0),
            ("partition_answers", 1),
        ],
    )
    async def test_tells_nothing_of_what_was_done(
        self, bank: SimulatedBank, name: str, payments: int
    ) -> None:
        """From outside both are the same silence; only the books know the difference."""
        mandate_id = await bank.mandate()
        await bank.fault(name, "payments.create", seconds=60)

        asked = asyncio.create_task(pay(bank, mandate_id))
        await fired(bank)
        await counts(bank, payments)
        assert not asked.done()

        await bank.heal()
        with pytest.raises(aiohttp.ClientConnectionError):
            await asked
        assert (await pay(bank, mandate_id))[0] == (409 if payments else 201)
        assert await count(bank) == 1

    @pytest.mark.parametrize("name", ["silent_before", "silent_after"])
    async def test_is_dropped_at_last(self, bank: SimulatedBank, name: str) -> None:
        """A client without a time limit of its own is not held for ever."""
        await bank.fault(name, "customers.create", seconds=0.1)

        with pytest.raises(aiohttp.ClientConnectionError):
            await greet(bank)

    async def test_that_is_a_partition_strikes_everybody_until_it_ends(
        self, bank: SimulatedBank
    ) -> None:
        """A partition has a duration and no count; afterwards the bank is whole again."""
        begun = time.monotonic()
        await bank.fault("partition_answers", seconds=2)

        lost = await asyncio.gather(*(greet(bank) for _ in range(3)), return_exceptions=True)

        assert all(isinstance(error, aiohttp.ClientConnectionError) for error in lost)
        assert time.monotonic() - begun >= 2
        assert (await bank.api("GET", "/payments"))[0] == 200
        assert (await bank.faults())[0]["fired"] == 3

    async def test_ends_when_all_is_healed(self, bank: SimulatedBank) -> None:
        """Whoever is held must not hold up the end of a story."""
        await bank.fault("silent_before", "customers.create", seconds=60)
        asked = asyncio.create_task(greet(bank))
        await fired(bank)
        await bank.heal()

        with pytest.raises(aiohttp.ClientConnectionError):
            await asyncio.wait_for(asked, 30)


class TestAnswer:
    """An answer on its way ..."""

    async def test_is_reset_in_the_middle(self, bank: SimulatedBank) -> None:
        """The head promised more than came, and the end was no orderly one."""
        mandate_id = await bank.mandate()
        await bank.fault("reset", "payments.create")

        with pytest.raises(aiohttp.ClientError):
            await pay(bank, mandate_id)
        assert await count(bank) == 1

    async def test_drips_in_whole(self, bank: SimulatedBank) -> None:
        """Every piece in time and the whole too late: only a limit on the total helps."""
        mandate_id = await bank.mandate()
        await bank.fault("slow_drip", "payments.create", seconds=0.5)
        begun = time.monotonic()

        status, made = await pay(bank, mandate_id)

        assert (status, made["payments"]["amount"]) == (201, 7)
        assert time.monotonic() - begun >= 0.5

    async def test_is_abandoned_by_a_client_with_a_limit(self, bank: SimulatedBank) -> None:
        """The payment is in the books all the same."""
        mandate_id = await bank.mandate()
        await bank.fault("slow_drip", "payments.create", seconds=60)

        asked = asyncio.create_task(pay(bank, mandate_id))
        await counts(bank, 1)
        assert not asked.done()
        asked.cancel()
        assert isinstance((await asyncio.gather(asked, return_exceptions=True))[0], BaseException)

        assert (await pay(bank, mandate_id))[0] == 409


class TestRequest:
    """A request on its way ..."""

    async def test_arrives_twice_and_the_key_makes_it_one(self, bank: SimulatedBank) -> None:
        """The second answer is the conflict, which names what the first has made."""
        mandate_id = await bank.mandate()
        await bank.fault("delivered_twice", "payments.create")

        status, conflict = await pay(bank, mandate_id)

        made = (await bank.books())["payments"]
        assert status == 409
        links = conflict["error"]["errors"][0]["links"]
        assert links == {"conflicting_resource_id": made[0]["id"]}
        assert len(made) == 1

    async def test_arrives_twice_and_nothing_makes_it_one(self, bank: SimulatedBank) -> None:
        """Without a key the payer pays twice: the reason for keys."""
        mandate_id = await bank.mandate()
        await bank.fault("delivered_twice", "payments.create")
        asked = {"amount": 7, "currency": "KZT", "links": {"mandate": mandate_id}}

        status, _ = await bank.api("POST", "/payments", {"payments": asked})

        assert status == 201
        assert await count(bank) == 2

    async def test_is_overtaken(self, bank: SimulatedBank) -> None:
        """What was sent first is done second."""
        mandate_id = await bank.mandate()
        await bank.fault("reordered", "payments.create", seconds=60)
        first = asyncio.create_task(pay(bank, mandate_id, "first"))
        await fired(bank)

        _, second = await pay(bank, mandate_id, "second")
        _, overtaken = await first

        made = [payment["id"] for payment in (await bank.books())["payments"]]
        assert made == [second["payments"]["id"], overtaken["payments"]["id"]]

    async def test_that_waits_for_nobody_goes_on_alone(self, bank: SimulatedBank) -> None:
        """The last request of a night has nobody to be overtaken by."""
        mandate_id = await bank.mandate()
        await bank.fault("reordered", "payments.create", seconds=0.1)

        assert (await pay(bank, mandate_id))[0] == 201
