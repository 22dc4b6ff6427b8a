"""The bank's list of events: complete, in order, and readable while it grows."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from tests.fixtures_bank import SimulatedBank


async def pay(bank: SimulatedBank, mandate_id: str) -> None:
    """Make one payment."""
    asked = {"amount": 1, "currency": "KZT", "links": {"mandate": mandate_id}}
    status, _ = await bank.api("POST", "/payments", {"payments": asked})
    assert status == 201


async def follow(bank: SimulatedBank, cursor: str, limit: int) -> list[dict[str, Any]]:
    """Return everything newer than a cursor, oldest first, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        _, page = await bank.api("GET", f"/events?before={cursor}&limit={limit}")
        if not page["events"]:
            return found
        found += reversed(page["events"])
        cursor = page["events"][0]["id"]


class TestCursors:
    """A reader with a cursor ..."""

    async def test_gets_the_page_just_newer_than_it(self, bank: SimulatedBank) -> None:
        """Not the newest page: what lies between would be lost."""
        mandate_id = await bank.mandate()
        for _ in range(7):
            await pay(bank, mandate_id)
        _, whole = await bank.api("GET", "/events?limit=500")
        ids = [event["id"] for event in whole["events"]]

        _, page = await bank.api("GET", f"/events?before={ids[6]}&limit=3")

        assert [event["id"] for event in page["events"]] == ids[3:6]
        assert page["meta"] == {"cursors": {"before": ids[3], "after": ids[5]}, "limit": 3}

    async def test_walks_back_to_the_beginning(self, bank: SimulatedBank) -> None:
        """Older pages end with a null cursor, not with an endless circle."""
        await bank.mandate()
        _, whole = await bank.api("GET", "/events?limit=500")
        ids = [event["id"] for event in whole["events"]]
        walked: list[str] = []
        cursor: str | None = ids[0]
        while cursor is not None:
            _, page = await bank.api("GET", f"/events?after={cursor}&limit=2")
            walked += [event["id"] for event in page["events"]]
            cursor = page["meta"]["cursors"]["after"]

        assert walked == ids[1:]

    async def test_misses_nothing_while_others_write(self, bank: SimulatedBank) -> None:
        """A reader that advances past an event not yet visible would never see it."""
        mandate_id = await bank.mandate()
        _, page = await bank.api("GET", "/events?limit=1")
        cursor = start = page["events"][0]["id"]
        seen: list[str] = []
        writers = asyncio.gather(
            *(self._write(bank, mandate_id, 15) for _ in range(8)), return_exceptions=False
        )
        while not writers.done():
            fresh = await follow(bank, cursor, 4)
            seen += [event["id"] for event in fresh]
            cursor = seen[-1] if seen else cursor
        seen += [event["id"] for event in await follow(bank, cursor, 4)]

        assert len(seen) == len(set(seen)) == 8 * 15
        assert seen == [event["id"] for event in await follow(bank, start, 500)]

    async def _write(self, bank: SimulatedBank, mandate_id: str, count: int) -> None:
        for _ in range(count):
            await pay(bank, mandate_id)

    async def test_that_nobody_gave_out_is_refused(self, bank: SimulatedBank) -> None:
        """Starting from the newest in silence would skip a month of failures."""
        status, refusal = await bank.api("GET", "/events?before=EV0")

        assert status == 400
        assert refusal["error"]["errors"][0]["message"] == "before is not a known cursor"


class TestOrder:
    """Events ..."""

    async def test_stand_in_the_order_of_their_instants(self, bank: SimulatedBank) -> None:
        """The calendar of many payments is worked off in order, not payment by payment."""
        for name in ("Late", "Fickle", "Penniless", "Aigul"):
            mandate_id = await bank.mandate(given_name=name)
            for _ in range(5):
                await pay(bank, mandate_id)
        await bank.advance(datetime(2026, 2, 1, tzinfo=UTC))

        _, page = await bank.api("GET", "/events?limit=500")
        instants = [event["created_at"] for event in page["events"]]
        assert instants == sorted(instants, reverse=True)
        assert len(set(instants)) == 5

    async def test_are_found_by_what_they_tell_of(self, bank: SimulatedBank) -> None:
        """Filters combine; a window of time is half open where the caller says so."""
        mandate_id = await bank.mandate()
        await pay(bank, mandate_id)
        await bank.advance(datetime(2026, 1, 10, tzinfo=UTC))
        window = "created_at[gte]=2026-01-06T00:00:00Z&created_at[lt]=2026-01-09T00:00:00Z"

        _, page = await bank.api("GET", f"/events?resource_type=payments&{window}")
        _, one = await bank.api("GET", "/events?resource_type=payments&action=paid_out")

        assert [event["action"] for event in page["events"]] == ["confirmed", "submitted"]
        assert [event["created_at"] for event in one["events"]] == ["2026-01-09T09:00:00.000Z"]
