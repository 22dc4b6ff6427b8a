"""Clerks who press their buttons at the same moment: one decides, the others are told.

The database itself lines them up: a row that all of them need is held until every one of them waits
for it, so that each has read what it is going to read before the first one writes.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from metering.meter import bucket_number
from tests.app.api_town import Api
from tests.app.test_desk_api import CASE, NOON, close, decide
from tests.app.test_metering_api import read

METER: Final = "AQ-000001"


async def at_once(
    api: Api, row: str, args: Sequence[object], calls: Sequence[Awaitable[tuple[int, Any]]]
) -> list[tuple[int, Any]]:
    """Let calls run into a locked row, and go on together once each of them stands there."""
    async with api.owner.transaction():
        await api.owner.execute(f"{row} FOR UPDATE", *args)
        running = [asyncio.ensure_future(call) for call in calls]
        # A call that does not need the row is done early; then nothing is left to line up.
        async with asyncio.timeout(10):
            while not any(task.done() for task in running) and await waiting(api) < len(calls):
                continue
    return list(await asyncio.gather(*running))


async def waiting(api: Api) -> int:
    """Say how many connections to this database stand before a lock."""
    # Within a transaction the list of connections is that of the first look.
    await api.owner.execute("SELECT pg_stat_clear_snapshot()")
    count: int = await api.owner.fetchval(
        "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid IN"
        " (SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
    )
    return count


async def bucket_held(
    api: Api, calls: Sequence[Awaitable[tuple[int, Any]]]
) -> list[tuple[int, Any]]:
    return await at_once(api, "SELECT FROM bucket WHERE bucket = $1", [bucket_number(METER)], calls)


def told(answers: Sequence[tuple[int, Any]]) -> list[tuple[int, str]]:
    return sorted(
        (status, body.get("type", "").removeprefix("/problems/")) for status, body in answers
    )


class TestTwoClerks:
    """Two clerks with one held reading ..."""

    async def test_who_say_otherwise_make_one_decision(self, api: Api) -> None:
        """One accepts, the other replaces: the books follow one of them, and both know which."""
        await read(api, 900_000, NOON, None)

        answers = await bucket_held(
            api, [decide(api, "accept"), decide(api, "replace", register_dm3=125_000)]
        )

        assert told(answers) == [(201, ""), (409, "decision-differs")]
        [won] = [body for status, body in answers if status == 201]
        rows = await api.owner.fetch("SELECT decision, register_dm3 FROM reading_decision")
        assert [tuple(row) for row in rows] == [(won["decision"], won["register_dm3"])]

    async def test_who_replace_it_by_different_registers_make_one_decision(self, api: Api) -> None:
        """Four photographs, four registers, one line."""
        await read(api, 900_000, NOON, None)

        answers = await bucket_held(
            api, [decide(api, "replace", register_dm3=125_000 + n) for n in range(4)]
        )

        assert told(answers) == [(201, ""), *[(409, "decision-differs")] * 3]

    async def test_who_say_the_same_are_both_right(self, api: Api) -> None:
        """The second hears what stands, with the name of the first."""
        await read(api, 900_000, NOON, None)

        (one, first), (two, second) = await bucket_held(
            api, [decide(api, "accept"), decide(api, "accept")]
        )

        assert sorted((one, two)) == [200, 201]
        assert first == second

    async def test_with_two_readings_of_one_meter_keep_the_line(self, api: Api) -> None:
        """Each alone would fit; both together would let the gas flow back, so one is refused."""
        await read(api, 900_000, NOON, None)
        await read(api, 900_001, NOON.replace(hour=13), None)

        answers = await bucket_held(
            api,
            [
                decide(api, "replace", register_dm3=140_000),
                decide(api, "replace", "2026-02-05T13:00:00Z", register_dm3=130_000),
            ],
        )

        # Whoever comes second either turns the dial once more, or has no place left.
        kept = await api.owner.fetch(
            "SELECT turns * 100000000 + register_dm3 AS total FROM reading_decision"
            " ORDER BY read_at"
        )
        totals = [row["total"] for row in kept]
        assert totals == sorted(totals)
        assert {status for status, _ in answers} <= {201, 422}


class TestTwoClerksAndACase:
    """Two clerks with one case ..."""

    async def opened(self, api: Api, kind: str) -> None:
        """Open a case of a kind."""
        await api.owner.execute(
            "INSERT INTO meter_case (meter_id, case_id, kind, detail, opened_at)"
            " VALUES ($1, $2, $3, 'look', $4)",
            METER,
            CASE,
            kind,
            NOON,
        )

    async def test_who_find_different_outcomes_close_it_once(self, api: Api) -> None:
        """An ordinary case: the row itself lets one through."""
        await self.opened(api, "forged_telegrams")

        answers = await at_once(
            api,
            "SELECT FROM meter_case WHERE case_id = $1",
            [CASE],
            [close(api, "meter changed"), close(api, "nothing found")],
        )

        assert told(answers) == [(201, ""), (409, "case-closed")]
        [won] = [body for status, body in answers if status == 201]
        assert await api.owner.fetchval("SELECT outcome FROM meter_case") == won["outcome"]

    async def test_that_stops_the_meter_close_it_once(self, api: Api) -> None:
        """The meter is let go by one outcome; the other clerk is told that it was."""
        await self.opened(api, "frozen")
        await api.owner.execute("UPDATE meter SET state = 'frozen' WHERE meter_id = $1", METER)

        answers = await bucket_held(api, [close(api, "it is ours"), close(api, "it is a clone")])

        assert told(answers) == [(201, ""), (409, "case-closed")]
        [won] = [body for status, body in answers if status == 201]
        row = await api.owner.fetchrow(
            "SELECT c.outcome, m.state FROM meter_case c JOIN meter m USING (meter_id)"
        )
        assert tuple(row) == (won["outcome"], "active")

    async def test_who_agree_are_both_right(self, api: Api) -> None:
        """The second hears what stands."""
        await self.opened(api, "forged_telegrams")

        answers = await at_once(
            api,
            "SELECT FROM meter_case WHERE case_id = $1",
            [CASE],
            [close(api, "meter changed"), close(api, "meter changed")],
        )

        assert sorted(status for status, _ in answers) == [200, 201]
