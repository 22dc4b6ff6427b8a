"""Meters over HTTP: registered, hung up, read, taken down."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.app.api_town import AT, Api, bill

METER: Final = {
    "meter_id": "AQ-000009",
    "dial_dm3": 100_000_000,
    "step_dm3": 10,
    "qmax_dm3_h": 6000,
    "compensated": True,
}
PLACE: Final = {
    "account_id": "A-1",
    "supply_point_id": "SP-1",
    "installed_at": "2026-02-01T10:00:00+05:00",
    "opening_dm3": 500,
}


async def register(api: Api, **change: object) -> tuple[int, Any]:
    return await api.call("POST", "/v1/meters", token=api.operator, json={**METER, **change})


async def install(api: Api, meter_id: str = "AQ-000009", **change: object) -> tuple[int, Any]:
    return await api.call(
        "POST",
        f"/v1/meters/{meter_id}/installations",
        token=api.operator,
        json={**PLACE, **change},
    )


async def remove(
    api: Api, closing_dm3: int, removed_at: str, meter_id: str = "AQ-000001"
) -> tuple[int, Any]:
    return await api.call(
        "POST",
        f"/v1/meters/{meter_id}/removal",
        token=api.operator,
        json={"removed_at": removed_at, "closing_dm3": closing_dm3},
    )


def kind(answer: tuple[int, Any]) -> tuple[int, str]:
    status, problem = answer
    return status, problem["type"].removeprefix("/problems/")


async def read(
    api: Api, register_dm3: int, at: datetime, turns: int | None, meter_id: str = "AQ-000001"
) -> None:
    await api.owner.execute("SELECT open_reading_month($1)", at)
    await api.owner.execute(
        "INSERT INTO reading VALUES ($1, $2, $3, $4, $5, $6, 7, $2)",
        meter_id,
        at,
        register_dm3,
        turns,
        "suspect" if turns is None else "billable",
        "too_fast" if turns is None else None,
    )


class TestMeters:
    """A meter ..."""

    async def test_is_registered_once(self, api: Api) -> None:
        """A form sent twice makes one meter; the same id with another dial is a question."""
        assert await register(api) == (201, METER)
        assert await register(api) == (200, METER)

        assert kind(await register(api, dial_dm3=1_000_000)) == (409, "meter-differs")
        assert kind(await register(api, step_dm3=100_000_000)) == (422, "invalid")

    async def test_is_shown_with_the_places_it_hung_at(self, api: Api) -> None:
        """Where a meter was decides whose gas it counted."""
        await register(api)
        await install(api)

        status, meter = await api.call("GET", "/v1/meters/AQ-000009", token=api.operator)

        assert status == 200
        assert meter == {
            **METER,
            "installations": [
                {
                    **PLACE,
                    "meter_id": "AQ-000009",
                    "installed_at": "2026-02-01T05:00:00Z",
                    "removed_at": None,
                    "closing_dm3": None,
                    "closing_turns": None,
                }
            ],
        }

    async def test_that_nobody_registered_is_not_there(self, api: Api) -> None:
        """Every route says so in the same way."""
        for answer in (
            await api.call("GET", "/v1/meters/AQ-404", token=api.operator),
            await api.call("GET", "/v1/meters/AQ-404/readings", token=api.operator),
            await install(api, "AQ-404"),
            await remove(api, 0, "2026-02-01T00:00:00Z", "AQ-404"),
        ):
            assert kind(answer) == (404, "not-found")

    async def test_is_found_page_by_page(self, api: Api) -> None:
        """Three pages of one: nothing twice, nothing left out, and an end."""
        await register(api)
        found, after = [], ""
        for _ in range(3):
            _, page = await api.call("GET", f"/v1/meters?limit=1{after}", token=api.operator)
            found += [meter["meter_id"] for meter in page["meters"]]
            after = f"&after={page['next']}"
        _, last = await api.call("GET", f"/v1/meters?limit=1{after}", token=api.operator)

        assert found == ["AQ-000001", "AQ-000002", "AQ-000009"]
        assert last == {"meters": [], "next": None}


class TestInstallations:
    """A meter that is hung up ..."""

    async def test_hangs_there_once(self, api: Api) -> None:
        """The same again changes nothing; the same instant elsewhere is a contradiction."""
        await register(api)

        assert (await install(api))[0] == 201
        assert (await install(api))[0] == 200
        assert kind(await install(api, opening_dm3=501)) == (409, "installation-differs")
        assert kind(await install(api, account_id="A-2")) == (409, "installation-differs")

    async def test_hangs_in_one_place_at_a_time(self, api: Api) -> None:
        """Earlier or later, a second place overlaps as long as the first has no end."""
        await register(api)
        await install(api)

        for installed_at in ("2026-01-15T00:00:00Z", "2026-03-01T00:00:00Z"):
            answer = await install(api, installed_at=installed_at)
            assert kind(answer) == (409, "installation-overlaps")

    async def test_hangs_in_one_place_when_two_clerks_are_at_it(self, api: Api) -> None:
        """Twenty requests at once, for two accounts: one is stored, the rest are refused."""
        await register(api)

        answers = await asyncio.gather(
            *(install(api, account_id=f"A-{n % 2 + 1}") for n in range(20))
        )

        assert [status for status, _ in answers].count(201) == 1
        assert {status for status, _ in answers} <= {200, 201, 409}
        assert (
            await api.owner.fetchval(
                "SELECT count(*) FROM installation WHERE meter_id = 'AQ-000009'"
            )
            == 1
        )

    async def test_hangs_at_a_supply_point_that_exists(self, api: Api) -> None:
        """Gas of nobody would be billed to nobody."""
        await register(api)

        for change in ({"account_id": "A-404"}, {"supply_point_id": "SP-404"}):
            assert kind(await install(api, **change)) == (422, "supply-point-unknown")

    async def test_shows_what_its_dial_can_show(self, api: Api) -> None:
        """A register beyond the dial is a typing error that would bill a whole turn."""
        await register(api)

        answer = await install(api, opening_dm3=100_000_000)
        assert kind(answer) == (422, "opening-beyond-dial")
        assert (await install(api, opening_dm3=99_999_999))[0] == 201

    async def test_hangs_from_an_instant_of_our_time(self, api: Api) -> None:
        """Outside of these years, without an offset or as a number, it is not an instant."""
        await register(api)

        for installed_at in (
            "1999-12-31T23:59:59Z",
            "2100-01-01T00:00:00Z",
            "2026-02-01T10:00:00",
            "2026-02-01",
            1_770_000_000,
            "1770000000",
        ):
            assert kind(await install(api, installed_at=installed_at)) == (422, "invalid")


class TestRemovals:
    """A meter that is taken down ..."""

    async def test_closes_its_line(self, api: Api) -> None:
        """120 m3 on 1 February, 125 m3 nine days later: no turn of the dial."""
        status, closed = await remove(api, 125_000, "2026-02-10T10:00:00Z")

        assert status == 201
        assert (closed["closing_dm3"], closed["closing_turns"]) == (125_000, 0)
        assert (await remove(api, 125_000, "2026-02-10T10:00:00Z"))[0] == 200
        assert kind(await remove(api, 125_001, "2026-02-10T10:00:00Z")) == (409, "removal-differs")

    async def test_counts_a_turn_of_the_dial(self, api: Api) -> None:
        """From 99 999 000 to 500 dm3 the dial passed zero: one turn, not a meter running back."""
        await read(api, 99_999_000, datetime(2026, 2, 9, tzinfo=UTC), 3)

        status, closed = await remove(api, 500, "2026-02-10T10:00:00Z")

        assert (status, closed["closing_turns"]) == (201, 4)

    async def test_does_not_run_backwards(self, api: Api) -> None:
        """A closing register below the last reading is a typing error; so is a flood."""
        back = await remove(api, 119_000, "2026-02-10T10:00:00Z")
        flood = await remove(api, 9_000_000, "2026-02-10T10:00:00Z")

        assert kind(back) == kind(flood) == (422, "closing-implausible")
        assert (back[1]["detail"], flood[1]["detail"]) == ("index_down", "too_fast")

    async def test_fits_the_readings_after_it(self, api: Api) -> None:
        """The paper came late: a reading after the removal shows less than the closing register."""
        await read(api, 122_000, datetime(2026, 2, 9, tzinfo=UTC), 0)

        assert kind(await remove(api, 123_000, "2026-02-08T00:00:00Z")) == (
            422,
            "closing-implausible",
        )

    async def test_comes_down_after_it_went_up_and_not_tomorrow(self, api: Api) -> None:
        """A removal in the future has no register yet."""
        before = await remove(api, 125_000, "2025-12-31T00:00:00Z")
        tomorrow = await remove(api, 125_000, (AT + timedelta(days=1)).isoformat())

        assert kind(before) == kind(tomorrow) == (422, "removal-out-of-order")

    async def test_hung_somewhere(self, api: Api) -> None:
        """A meter in the storeroom cannot be taken down."""
        await register(api)

        answer = await remove(api, 0, "2026-02-10T10:00:00Z", "AQ-000009")
        assert kind(answer) == (409, "not-installed")

    async def test_does_not_contradict_a_bill(self, api: Api) -> None:
        """January is billed to its last register; a removal within it would bill gas twice."""
        await bill(api)

        answer = await remove(api, 110_000, "2026-01-20T00:00:00Z")
        assert kind(answer) == (409, "already-measured")

    async def test_can_hang_up_elsewhere(self, api: Api) -> None:
        """Its gas belongs to the next home from then on."""
        await remove(api, 125_000, "2026-02-09T00:00:00Z")

        status, _ = await install(
            api,
            "AQ-000001",
            account_id="A-2",
            installed_at="2026-02-09T00:00:00Z",
            opening_dm3=125_000,
        )
        assert status == 201


class TestReadings:
    """The readings of a meter ..."""

    async def test_are_shown_with_our_verdict(self, api: Api) -> None:
        """What we do not believe is shown too, with the reason."""
        await read(api, 9_000_000, datetime(2026, 2, 2, tzinfo=UTC), None)

        status, page = await api.call(
            "GET", "/v1/accounts/A-1/meters/AQ-000001/readings", token=api.resident
        )

        assert status == 200
        assert page == {
            "readings": [
                {
                    "read_at": "2026-01-31T19:00:00Z",
                    "register_dm3": 120_000,
                    "verdict": "billable",
                    "reason": None,
                    "turns": 0,
                    "counter": 1,
                    "received_at": "2026-01-31T19:00:00Z",
                },
                {
                    "read_at": "2026-02-02T00:00:00Z",
                    "register_dm3": 9_000_000,
                    "verdict": "suspect",
                    "reason": "too_fast",
                    "turns": None,
                    "counter": 7,
                    "received_at": "2026-02-02T00:00:00Z",
                },
            ],
            "next": None,
        }

    async def test_come_page_by_page_and_between_instants(self, api: Api) -> None:
        """The place to go on from is the last instant of the page before."""
        for day in range(2, 7):
            await read(api, 120_000 + day, datetime(2026, 2, day, tzinfo=UTC), 0)
        path = "/v1/meters/AQ-000001/readings?until=2026-02-06T00:00:00Z&limit=2"
        _, one = await api.call("GET", path, token=api.operator)
        _, two = await api.call("GET", f"{path}&after={one['next']}", token=api.operator)
        _, three = await api.call("GET", f"{path}&after={two['next']}", token=api.operator)

        registers = [r["register_dm3"] for page in (one, two, three) for r in page["readings"]]
        assert registers == [120_000, 120_002, 120_003, 120_004, 120_005]
        assert three["next"] is None

    async def test_belong_to_those_whose_meter_it_was(self, api: Api) -> None:
        """A meter that never hung here is not there."""
        answer = await api.call(
            "GET", "/v1/accounts/A-1/meters/AQ-000002/readings", token=api.resident
        )
        _, own = await api.call("GET", "/v1/accounts/A-1/meters", token=api.resident)

        assert kind(answer) == (404, "not-found")
        assert [meter["installation"]["meter_id"] for meter in own["meters"]] == ["AQ-000001"]


class TestRefusedTelegrams:
    """What we refused ..."""

    async def test_is_shown_with_its_reason_the_latest_first(self, api: Api) -> None:
        """Any bytes may have come, so they travel as base64; ties in time lose nobody."""
        for number in range(5):
            await api.owner.execute(
                "INSERT INTO refused_telegram VALUES"
                " ($1, sha256('x'), 'not_json', 'line 1', 'gas/v1/00/X/up/json', $2, 3, 2, $3, $3)",
                f"X-{number}",
                b"\x00\xff{",
                AT,
            )
        found, after = [], ""
        for _ in range(3):
            _, page = await api.call(
                "GET", f"/v1/telegrams/refused?limit=2{after}", token=api.operator
            )
            found += page["telegrams"]
            after = f"&after={page['next']}"

        assert [telegram["sender"] for telegram in found] == ["X-4", "X-3", "X-2", "X-1", "X-0"]
        assert page["next"] is None
        assert base64.b64decode(found[0]["payload_base64"]) == b"\x00\xff{"
        assert (found[0]["reason"], found[0]["times"]) == ("not_json", 2)

    async def test_is_never_looked_for_at_an_invented_place(self, api: Api) -> None:
        """A cursor is data from outside like any other."""
        for place in ("e30", "W10", "AAAA", "W251bGxd", "x" * 1000):
            answer = await api.call(
                "GET", f"/v1/telegrams/refused?after={place}", token=api.operator
            )
            assert kind(answer) == (422, "cursor-unknown"), place
