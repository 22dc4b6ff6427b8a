"""What the bank has once answered survives kill -9; time never goes back."""

import asyncio
import contextlib
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fixtures_bank import SimulatedBank, StartBank


async def pay(bank: SimulatedBank, mandate_id: str, key: str) -> tuple[int, dict[str, Any]]:
    """Ask for one payment under a key."""
    asked = {"amount": 7, "currency": "KZT", "links": {"mandate": mandate_id}}
    return await bank.api("POST", "/payments", {"payments": asked}, key=key)


class TestKill:
    """A killed bank ..."""

    async def test_knows_its_keys_when_it_comes_back(self, bank: SimulatedBank) -> None:
        """Otherwise our honest retry after its crash debits the resident twice."""
        mandate_id = await bank.mandate()
        _, made = await pay(bank, mandate_id, "bill-1")
        await bank.kill()
        await bank.start()

        status, conflict = await pay(bank, mandate_id, "bill-1")

        assert status == 409
        links = conflict["error"]["errors"][0]["links"]
        assert links == {"conflicting_resource_id": made["payments"]["id"]}

    async def test_has_every_payment_it_answered_for(self, bank: SimulatedBank) -> None:
        """Killed in the middle of a storm of requests, and retried with the same keys."""
        mandate_id = await bank.mandate()
        answered: dict[str, str] = {}

        async def send(key: str) -> None:
            try:
                status, body = await pay(bank, mandate_id, key)
            except aiohttp.ClientError:
                return
            assert status == 201
            answered[key] = body["payments"]["id"]

        storm = [asyncio.create_task(send(f"k{number}")) for number in range(300)]
        while len(answered) < 40:
            await asyncio.wait(storm, return_when=asyncio.FIRST_COMPLETED, timeout=0.01)
        await bank.kill()
        await asyncio.gather(*storm)
        await bank.start()

        kept = {payment["id"] for payment in (await bank.books())["payments"]}
        assert set(answered.values()) <= kept
        for number in range(300):
            status, body = await pay(bank, mandate_id, f"k{number}")
            if status == 409:
                links = body["error"]["errors"][0]["links"]
                expected = answered.get(f"k{number}", links["conflicting_resource_id"])
                assert links == {"conflicting_resource_id": expected}
        books = await bank.books()
        assert books["totals"]["payments"] == 300
        assert books["events"] == 8 + 300

    async def test_goes_on_with_its_calendar(self, bank: SimulatedBank) -> None:
        """The clock and everything planned are in the file, not in the process."""
        mandate_id = await bank.mandate()
        _, made = await pay(bank, mandate_id, "k")
        await bank.advance(datetime(2026, 1, 3, 12, tzinfo=UTC))
        await bank.kill()
        await bank.start()

        assert (await bank.books())["now"] == "2026-01-03T12:00:00.000Z"
        await bank.advance(datetime(2026, 1, 10, tzinfo=UTC))
        _, page = await bank.api("GET", f"/events?payment={made['payments']['id']}")
        actions = [event["action"] for event in page["events"]]
        assert actions == ["paid_out", "confirmed", "submitted", "created"]


class TestClock:
    """The clock ..."""

    async def test_does_not_go_back(self, bank: SimulatedBank) -> None:
        """Events out of order would break every reader."""
        body = {"now": "2025-12-31T23:59:59Z"}
        async with bank.session.post(bank.control_url + "/clock", json=body) as answer:
            assert answer.status == 409

    async def test_is_the_systems_unless_conducted(self, start_bank: StartBank) -> None:
        """Beside a real service the bank lives in real time and cannot be moved by mistake."""
        bank = await start_bank(now=None)
        async with bank.session.get(bank.control_url + "/clock") as answer:
            clock = await answer.json()
        body = {"now": "2036-01-01T00:00:00Z"}
        async with bank.session.post(bank.control_url + "/clock", json=body) as answer:
            refused = answer.status

        assert clock["conducted"] is False
        assert clock["now"] > "2026-01-01"
        assert refused == 409
        assert await bank.mandate()

    @pytest.mark.parametrize("year", [2057, 2061, 9999])
    async def test_goes_no_further_than_its_calendar(self, bank: SimulatedBank, year: int) -> None:
        """Beyond it every payment would be a 500, and the way back is closed."""
        body = {"now": f"{year}-01-01T00:00:00Z"}
        async with bank.session.post(bank.control_url + "/clock", json=body) as answer:
            refused = answer.status

        assert refused == 422
        await bank.advance(datetime(2056, 1, 1, tzinfo=UTC))
        mandate_id = await bank.mandate()
        fields = {
            "amount": 1,
            "currency": "KZT",
            "charge_date": "2058-12-29",
            "links": {"mandate": mandate_id},
        }
        status, _ = await bank.api("POST", "/payments", {"payments": fields})
        assert status == 201

    async def test_needs_an_instant_with_a_zone(self, bank: SimulatedBank) -> None:
        """A naive time would be five hours wrong in Kazakhstan."""
        bodies: tuple[object, ...] = (
            {"now": "2026-02-01T00:00:00"},
            {"then": "2026-02-01T00:00:00Z"},
            [],
        )
        for body in bodies:
            async with bank.session.post(bank.control_url + "/clock", json=body) as answer:
                assert answer.status == 422


class TestFile:
    """The state file ..."""

    async def test_holds_no_account_number(self, start_bank: StartBank, tmp_path: Path) -> None:
        """Not even the simulated bank keeps what it does not need."""
        state = tmp_path / "books.sqlite"
        bank = await start_bank(state=state)
        await bank.mandate()
        await bank.stop()

        assert bank.iban.encode() not in state.read_bytes()

    async def test_has_one_owner(self, start_bank: StartBank, tmp_path: Path) -> None:
        """Two banks on one file would each believe in half of the payments."""
        state = tmp_path / "books.sqlite"
        bank = await start_bank(state=state)
        await bank.mandate()

        with (
            contextlib.closing(sqlite3.connect(state, timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("SELECT count(*) FROM resource")
