"""The operator's desk over HTTP: what waits for a person, and what the person says."""

from datetime import UTC, datetime, timedelta
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


async def overview(api: Api, query: str = "") -> Any:
    status, page = await api.call("GET", f"/v1/meters/overview{query}", token=api.operator)
    assert status == 200
    return page


async def heard(
    api: Api,
    epoch: int,
    trust: str,
    counter: int,
    at: datetime,
    flags: list[str],
    meter_id: str = "AQ-000001",
) -> None:
    await api.owner.execute(
        "INSERT INTO telegram (meter_id, counter, digest, received_at, readings, flags,"
        " trust, key_epoch) VALUES ($1, $2, $3, $4, 1, $5, $6, $7)",
        meter_id,
        counter,
        bytes(32),
        at,
        flags,
        trust,
        epoch,
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

    async def test_is_shown_between_the_ends_of_its_own_stay(self, api: Api) -> None:
        """Not between readings of the stay before or after; a decided one is a neighbour too."""
        await api.owner.execute("DELETE FROM reading")
        await api.owner.execute(
            "UPDATE installation SET removed_at = $1, closing_dm3 = 150000, closing_turns = 0"
            " WHERE meter_id = 'AQ-000001'",
            LATER,
        )
        await api.owner.execute(
            "INSERT INTO installation VALUES ('AQ-000001', $1, 'A-2', 'SP-1', 160000)",
            LATER + timedelta(days=1),
        )
        await read(api, 900_000, NOON, None)
        await read(api, 161_000, LATER + timedelta(days=2), 0)

        [one] = (await held(api))["readings"]
        assert (one["before"]["register_dm3"], one["after"]["register_dm3"]) == (20_000, 150_000)
        await read(api, 800_000, NOON - timedelta(hours=2), None)
        assert (await decide(api, "replace", "2026-02-05T10:00:00Z", register_dm3=140_000))[
            0
        ] == 201
        [one] = (await held(api))["readings"]
        assert one["before"] == {
            "read_at": "2026-02-05T10:00:00Z",
            "register_dm3": 140_000,
            "turns": 0,
        }

    async def test_outside_of_every_stay_has_no_neighbours(self, api: Api) -> None:
        """A meter that hung nowhere has no line a register could lie on."""
        await read(api, 900_000, datetime(2025, 12, 1, tzinfo=UTC), None)

        [one] = (await held(api))["readings"]
        assert (one["before"], one["after"]) == (None, None)

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

    async def test_under_a_bill_is_decided(self, api: Api) -> None:
        """The word fits between the registers that bills quote, so they still hold."""
        await read(api, 900_000, datetime(2026, 1, 15, tzinfo=UTC), None)
        await bill(api)

        answer = await decide(api, "replace", "2026-01-15T00:00:00Z", register_dm3=50_000)
        assert answer[0] == 201

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
        await heard(api, 0, "unsigned", 9, NOON, ["tamper"])
        await heard(api, -2, "uploaded", 5, LATER, ["battery_low"])
        status, page = await api.call("GET", "/v1/meters/overview?limit=1", token=api.operator)

        assert status == 200
        assert page["next"] == "AQ-000001"
        assert page["meters"] == [
            {
                "meter_id": "AQ-000001",
                "state": "active",
                "last_contact_at": "2026-02-07T12:00:00Z",
                "flags": ["battery_low"],
                "battery_low": True,
                "missing_days": 29,
                "last_read_at": "2026-02-05T12:00:00Z",
                "last_register_dm3": 900_000,
                "held_readings": 1,
                "open_cases": 0,
                "held_findings": 0,
                "flagged_findings": 0,
            }
        ]

    async def test_says_nothing_of_a_battery_that_never_spoke(self, api: Api) -> None:
        """Null is not false: nobody knows."""
        first, second = (await overview(api))["meters"]
        assert (first["battery_low"], first["flags"], first["last_contact_at"]) == (None,) * 3

        await heard(api, 0, "unsigned", 1, NOON, [], "AQ-000002")
        first, second = (await overview(api))["meters"]
        assert (first["battery_low"], second["battery_low"]) == (None, False)

    async def test_counts_the_days_that_are_missing(self, api: Api) -> None:
        """Of 31 days before today: the 1st of February was read, three were explained.

        Yesterday ended at 19:00 UTC, and its twelve hours were over at 07:00 of the 10th.
        """
        status, _ = await api.call(
            "POST",
            "/v1/meters/AQ-000001/gaps",
            token=api.operator,
            json={
                "from_day": "2026-01-20",
                "to_day": "2026-01-23",
                "reason": "no_network",
                "because": "mast down",
            },
        )
        assert status == 201
        await read(api, 900_000, NOON, None)

        first, second = (await overview(api))["meters"]
        # 31 - 1 read - 3 declared - 1 suspect; 31 - 1 read.
        assert (first["missing_days"], second["missing_days"]) == (26, 30)

    async def test_counts_what_the_map_shows(self, api: Api) -> None:
        """One definition of a missing day, wherever it is asked for; here of three meters."""
        await read(api, 130_000, LATER, 0)
        await read(api, 130_000, NOON, 0, "AQ-000002")
        await read(api, 130_001, LATER, 0, "AQ-000002")
        await api.owner.execute(
            "INSERT INTO meter VALUES ('AQ-000003', 100000000, 1, 6000, false, $1, 'active',"
            " 'pulse')",
            NOON,
        )
        await api.owner.execute(
            "INSERT INTO installation VALUES ('AQ-000003', $1, 'A-1', 'SP-1', 0)", NOON
        )
        for meter in (await overview(api))["meters"]:
            _, mapped = await api.call(
                "GET", f"/v1/meters/{meter['meter_id']}/gaps", token=api.operator
            )
            states = [day["state"] for day in mapped["days"]]
            assert (meter["meter_id"], meter["missing_days"]) == (
                meter["meter_id"],
                states.count("missing"),
            )
            assert sum(run["days"] for run in mapped["missing"]) == meter["missing_days"] > 0

    async def test_shows_only_meters_with_gaps_to_whoever_asks(self, api: Api) -> None:
        """A meter that was read each day is not among them; pages go on where the last ended."""
        for day in range(10, 42):
            at = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=day - 1)
            await read(api, 130_000 + day, at, 0)
        for number in (3, 4):
            await api.owner.execute(
                f"INSERT INTO meter VALUES ('AQ-00000{number}', 100000000, 1, 6000, false, $1)",
                NOON,
            )
        await api.owner.execute(
            "INSERT INTO installation VALUES ('AQ-000004', $1, 'A-1', 'SP-1', 0)", NOON
        )

        page = await overview(api, "?gaps=true&limit=1")
        assert ([it["meter_id"] for it in page["meters"]], page["next"]) == (
            ["AQ-000002"],
            "AQ-000002",
        )
        page = await overview(api, "?gaps=true&limit=5&after=AQ-000002")
        assert ([it["meter_id"] for it in page["meters"]], page["next"]) == (["AQ-000004"], None)
        whole = await overview(api, "?gaps=false")
        assert [it["missing_days"] for it in whole["meters"]] == [0, 30, 0, 4]
        assert kind(
            await api.call("GET", "/v1/meters/overview?gaps=maybe", token=api.operator)
        ) == (422, "invalid")

    async def test_looks_at_so_many_meters_for_a_page_and_says_where_it_stopped(
        self, api: Api
    ) -> None:
        """Ten thousand healthy meters must not make one request that takes for ever."""
        await api.owner.execute(
            "INSERT INTO meter SELECT 'B-' || lpad(n::text, 4, '0'), 100000000, 1, 6000, false, $1"
            " FROM generate_series(1, 1001) n",
            NOON,
        )

        page = await overview(api, "?gaps=true&after=AQ-000002")
        assert page == {"meters": [], "next": "B-1000"}
        assert await overview(api, "?gaps=true&after=B-1000") == {"meters": [], "next": None}


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
