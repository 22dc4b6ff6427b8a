"""The operator's desk over HTTP: what waits for a person, and what the person says."""

from datetime import UTC, datetime
from typing import Any, Final

from tests.app.api_town import Api, bill
from tests.app.test_metering_api import kind, read

NOON: Final = datetime(2026, 2, 5, 12, 0, tzinfo=UTC)
LATER: Final = datetime(2026, 2, 7, 12, 0, tzinfo=UTC)
CASE: Final = "00000000-0000-4000-8000-000000000007"


async def decide(
    api: Api, word: str, at: str = "2026-02-05T12:00:00Z", **body: object
) -> tuple[int, Any]:
    return await api.call(
        "POST",
        f"/v1/meters/AQ-000001/readings/{at}/{word}",
        token=api.operator,
        json={"because": "seen on a photo", **body},
    )


async def held(api: Api, query: str = "") -> Any:
    status, page = await api.call("GET", f"/v1/readings/held{query}", token=api.operator)
    assert status == 200
    return page


async def close(api: Api, outcome: str, case_id: str = CASE) -> tuple[int, Any]:
    return await api.call(
        "POST",
        f"/v1/cases/AQ-000001/{case_id}/close",
        token=api.operator,
        json={"outcome": outcome},
    )


class TestHeldReadings:
    """A held reading ..."""

    async def test_is_shown_between_its_trusted_neighbours(self, api: Api) -> None:
        """A person sees at once what a register would have to lie between."""
        await read(api, 900_000, NOON, None)
        await read(api, 130_000, LATER, 0)

        assert (await held(api))["readings"] == [
            {
                "meter_id": "AQ-000001",
                "read_at": "2026-02-05T12:00:00Z",
                "register_dm3": 900_000,
                "reason": "too_fast",
                "received_at": "2026-02-05T12:00:00Z",
                "before": {
                    "read_at": "2026-01-31T19:00:00Z",
                    "register_dm3": 120_000,
                    "turns": 0,
                },
                "after": {"read_at": "2026-02-07T12:00:00Z", "register_dm3": 130_000, "turns": 0},
            }
        ]

    async def test_is_found_page_by_page(self, api: Api) -> None:
        """Two meters held at one instant: nothing twice, nothing left out, and an end."""
        await read(api, 900_000, NOON, None)
        await read(api, 900_000, NOON, None, "AQ-000002")
        first = await held(api, "?limit=1")
        place = f"?limit=1&before={first['next_before']}&before_meter={first['next_before_meter']}"
        second = await held(api, place)

        found = [it["meter_id"] for page in (first, second) for it in page["readings"]]
        assert found == ["AQ-000002", "AQ-000001"]
        assert (await held(api, f"?before={first['next_before']}"))["readings"] == []

    async def test_is_accepted_once(self, api: Api) -> None:
        """The form sent twice is one decision; another word on it is a contradiction."""
        await read(api, 900_000, NOON, None)
        status, made = await decide(api, "accept")

        assert (status, made["register_dm3"], made["turns"], made["decided_by"]) == (
            201,
            900_000,
            0,
            "a test",
        )
        assert await decide(api, "accept") == (200, made)
        assert kind(await decide(api, "replace", register_dm3=125_000)) == (409, "decision-differs")
        assert (await held(api))["readings"] == []

    async def test_is_replaced_and_stays_as_it_came(self, api: Api) -> None:
        """The original is evidence; only what is measured from changes."""
        await read(api, 900_000, NOON, None)
        await read(api, 130_000, LATER, 0)

        assert (await decide(api, "replace", register_dm3=125_000))[0] == 201
        rows = await api.owner.fetch(
            "SELECT register_dm3 FROM trusted_reading WHERE meter_id = 'AQ-000001' AND read_at = $1"
            " UNION ALL SELECT register_dm3 FROM reading WHERE meter_id = 'AQ-000001'"
            " AND read_at = $1",
            NOON,
        )
        assert [row["register_dm3"] for row in rows] == [125_000, 900_000]

    async def test_never_makes_gas_flow_back(self, api: Api) -> None:
        """Between 120 m3 and 130 m3 lies neither 130.001 m3, nor 119.999 m3, nor a whole dial."""
        await read(api, 900_000, NOON, None)
        await read(api, 130_000, LATER, 0)

        assert kind(await decide(api, "accept")) == (422, "breaks-the-line")
        for register_dm3 in (130_001, 119_999, 100_000_000):
            answer = await decide(api, "replace", register_dm3=register_dm3)
            assert kind(answer) == (422, "breaks-the-line")
        assert (await decide(api, "replace", register_dm3=130_000))[0] == 201

    async def test_turns_the_dial_as_seldom_as_it_can(self, api: Api) -> None:
        """Less than before and nothing after: the dial passed zero once, says the person."""
        await read(api, 7, NOON, None)

        assert (await decide(api, "accept"))[1]["turns"] == 1

    async def test_under_a_bill_is_not_decided(self, api: Api) -> None:
        """January is billed; a word on it now would contradict the books."""
        await read(api, 900_000, datetime(2026, 1, 15, tzinfo=UTC), None)
        await bill(api)

        answer = await decide(api, "replace", "2026-01-15T00:00:00Z", register_dm3=50_000)
        assert kind(answer) == (409, "already-measured")

    async def test_is_one_that_is_held(self, api: Api) -> None:
        """A believed reading needs no word, and one that never came can get none."""
        await read(api, 130_000, LATER, 0)

        assert kind(await decide(api, "accept", "2026-02-07T12:00:00Z")) == (409, "not-held")
        assert kind(await decide(api, "accept", "2026-02-06T12:00:00Z")) == (404, "not-found")
        assert kind(await decide(api, "accept", because="a\x00b")) == (422, "invalid")


class TestOverview:
    """The overview ..."""

    async def test_shows_what_waits_for_a_person(self, api: Api) -> None:
        """The newest telegram of any epoch is the last contact; a decision empties the count."""
        await read(api, 900_000, NOON, None)
        for epoch, trust, counter, at, flags in (
            (0, "unsigned", 9, NOON, ["low_battery"]),
            (-2, "uploaded", 5, LATER, ["tamper"]),
        ):
            await api.owner.execute(
                "INSERT INTO telegram (meter_id, counter, digest, received_at, readings, flags,"
                " trust, key_epoch) VALUES ('AQ-000001', $1, $2, $3, 1, $4, $5, $6)",
                counter,
                bytes(32),
                at,
                flags,
                trust,
                epoch,
            )
        status, page = await api.call("GET", "/v1/meters/overview?limit=1", token=api.operator)

        assert status == 200
        assert page["next"] == "AQ-000001"
        assert page["meters"] == [
            {
                "meter_id": "AQ-000001",
                "state": "active",
                "last_contact_at": "2026-02-07T12:00:00Z",
                "flags": ["tamper"],
                "last_read_at": "2026-02-05T12:00:00Z",
                "last_register_dm3": 900_000,
                "held_readings": 1,
                "open_cases": 0,
                "held_findings": 0,
                "flagged_findings": 0,
            }
        ]


class TestCases:
    """A case ..."""

    async def test_is_closed_once(self, api: Api) -> None:
        """Whoever closes it a second time with other words is told so."""
        await api.owner.execute(
            "INSERT INTO meter_case (meter_id, case_id, kind, detail, opened_at)"
            " VALUES ('AQ-000001', $1, 'equivocation', 'two stories', $2)",
            CASE,
            NOON,
        )
        _, before = await api.call("GET", "/v1/cases", token=api.operator)
        status, closed = await close(api, "key changed")

        assert [case["case_id"] for case in before["cases"]] == [CASE]
        assert (status, closed["closed_by"]) == (201, "a test")
        assert await close(api, "key changed") == (200, closed)
        assert kind(await close(api, "nothing found")) == (409, "case-closed")
        assert kind(await close(api, "x", CASE.replace("7", "8"))) == (404, "not-found")
        _, after = await api.call("GET", "/v1/cases", token=api.operator)
        assert after["cases"] == []
