"""The days of a meter over HTTP: mapped, declared silent, and closed by what comes late."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import pytest

from tests.app.api_town import Api
from tests.app.test_metering_api import kind, read

GAP: Final = {
    "from_day": "2026-02-03",
    "to_day": "2026-02-06",
    "reason": "workshop",
    "because": "taken in for its ten years",
}


async def gaps(api: Api, query: str = "", meter_id: str = "AQ-000001") -> Any:
    status, found = await api.call("GET", f"/v1/meters/{meter_id}/gaps{query}", token=api.operator)
    assert status == 200, found
    return found


async def declare(api: Api, meter_id: str = "AQ-000001", **change: object) -> tuple[int, Any]:
    return await api.call(
        "POST", f"/v1/meters/{meter_id}/gaps", token=api.operator, json={**GAP, **change}
    )


async def withdraw(api: Api, gap_id: str, because: str = "another meter") -> tuple[int, Any]:
    return await api.call(
        "POST",
        f"/v1/meters/AQ-000001/gaps/{gap_id}/withdraw",
        token=api.operator,
        json={"because": because},
    )


def states(found: Any) -> dict[str, str]:
    return {day["day"]: day["state"] for day in found["days"]}


class TestGapMap:
    """The map of a meter ..."""

    async def test_names_every_day_of_the_town(self, api: Api) -> None:
        """A reading at 23:00 local of the 2nd, one of the 3rd at 00:00, and a suspect one."""
        await read(api, 130_000, datetime(2026, 2, 2, 18, 0, tzinfo=UTC), 0)
        await read(api, 131_000, datetime(2026, 2, 2, 19, 0, tzinfo=UTC), 0)
        await read(api, 900_000, datetime(2026, 2, 4, 12, 0, tzinfo=UTC), None)
        await declare(api, from_day="2026-02-05", to_day="2026-02-07")

        found = await gaps(api, "?from=2026-02-01&to=2026-02-12")

        assert states(found) == {
            "2026-02-01": "read",
            "2026-02-02": "read",
            "2026-02-03": "read",
            "2026-02-04": "suspect_only",
            "2026-02-05": "declared",
            "2026-02-06": "declared",
            "2026-02-07": "missing",
            "2026-02-08": "missing",
            "2026-02-09": "missing",
            "2026-02-10": "not_due",
            "2026-02-11": "not_due",
        }
        assert found["missing"] == [{"from_day": "2026-02-07", "to_day": "2026-02-10", "days": 3}]
        assert found["days"][4]["declared"] == "workshop"
        assert [day["billable"] for day in found["days"][:5]] == [1, 1, 1, 0, 0]

    async def test_shows_the_recent_days_and_none_before_it_hung(self, api: Api) -> None:
        """The year began with the installation; December is nobody's."""
        found = await gaps(api)
        assert (found["from_day"], found["to_day"]) == ("2026-01-10", "2026-02-11")

        early = states(await gaps(api, "?from=2025-12-30&to=2026-01-03"))
        assert list(early.values()) == ["not_installed", "not_installed", "read", "missing"]

    async def test_closes_by_itself_when_a_register_comes_late(self, api: Api) -> None:
        """Nothing is stored about a gap, so nothing has to be cleaned up."""
        before = await gaps(api, "?from=2026-02-05&to=2026-02-08")
        await read(api, 130_000, datetime(2026, 2, 6, 12, 0, tzinfo=UTC), 0)
        after = await gaps(api, "?from=2026-02-05&to=2026-02-08")

        assert [run["days"] for run in before["missing"]] == [3]
        assert [run["days"] for run in after["missing"]] == [1, 1]

    async def test_counts_a_day_as_read_once_a_person_decided(self, api: Api) -> None:
        """A suspect register that a person accepts measures like any other."""
        noon = datetime(2026, 2, 5, 12, 0, tzinfo=UTC)
        await read(api, 900_000, noon, None)
        await api.call(
            "POST",
            "/v1/meters/AQ-000001/readings/2026-02-05T12:00:00Z/accept",
            token=api.operator,
            json={"because": "seen on a photo"},
        )

        [day] = (await gaps(api, "?from=2026-02-05&to=2026-02-06"))["days"]
        assert (day["state"], day["billable"], day["suspect"]) == ("read", 1, 0)

    async def test_refuses_days_that_are_none(self, api: Api) -> None:
        """Backwards, too many, no day at all, and a meter that nobody knows."""
        for query in ("?from=2026-02-05&to=2026-02-05", "?from=2000-01-01&to=2026-01-01"):
            answer = await api.call("GET", f"/v1/meters/AQ-000001/gaps{query}", token=api.operator)
            assert kind(answer) == (422, "bad-span")
        for query in (
            "?from=yesterday",
            "?from=20260201",
            "?from_day=2026-02-01",
            "?to=2100-01-01",
        ):
            answer = await api.call("GET", f"/v1/meters/AQ-000001/gaps{query}", token=api.operator)
            assert kind(answer) == (422, "invalid")
        answer = await api.call("GET", "/v1/meters/AQ-404/gaps", token=api.operator)
        assert kind(answer) == (404, "not-found")

    @pytest.mark.parametrize("edge", ["2000-01-01", "2099-12-31"])
    async def test_reaches_to_both_ends_of_our_calendar(self, api: Api, edge: str) -> None:
        """The first and the last day that anybody can ask for are answered."""
        for name in ("from", "to"):
            found = await gaps(api, f"?{name}={edge}")
            assert len(found["days"]) == 32


class TestDeclaredGap:
    """A declared gap ..."""

    async def test_says_who_why_and_for_how_long(self, api: Api) -> None:
        """The form sent twice is one gap; other words for the same days are a contradiction."""
        status, made = await declare(api)

        assert status == 201
        assert UUID(made.pop("gap_id"))
        assert made == {
            **GAP,
            "meter_id": "AQ-000001",
            "declared_by": "a test",
            "declared_at": "2026-02-10T12:00:00Z",
            "withdrawn_by": None,
            "withdrawn_because": None,
            "withdrawn_at": None,
        }
        assert (await declare(api))[0] == 200
        assert kind(await declare(api, because="else")) == (409, "gap-overlaps")
        assert kind(await declare(api, from_day="2026-02-05", to_day="2026-02-09")) == (
            409,
            "gap-overlaps",
        )
        assert (await declare(api, from_day="2026-02-06", to_day="2026-02-09"))[0] == 201

    async def test_is_withdrawn_and_stays_on_record(self, api: Api) -> None:
        """Its days are missing again, and can be declared again; the first word is not lost."""
        _, made = await declare(api)
        status, back = await withdraw(api, made["gap_id"])

        assert (status, back["withdrawn_by"], back["withdrawn_because"]) == (
            201,
            "a test",
            "another meter",
        )
        assert await withdraw(api, made["gap_id"]) == (200, back)
        assert kind(await withdraw(api, made["gap_id"], "else")) == (409, "gap-withdrawn")
        found = await gaps(api, "?from=2026-02-03&to=2026-02-06")
        assert set(states(found).values()) == {"missing"}
        assert found["declared"] == [back]
        assert (await declare(api))[0] == 201
        assert len((await gaps(api, "?from=2026-02-03&to=2026-02-06"))["declared"]) == 2

    async def test_is_one_of_a_few_reasons_for_some_days_of_a_meter(self, api: Api) -> None:
        """A reason nobody can count, no days, ten years of silence, nobody's meter."""
        assert kind(await declare(api, reason="lazy")) == (422, "invalid")
        assert kind(await declare(api, because="")) == (422, "invalid")
        assert kind(await declare(api, to_day="2026-02-03")) == (422, "bad-span")
        assert kind(await declare(api, to_day="2036-02-03")) == (422, "bad-span")
        assert kind(await declare(api, "AQ-404")) == (404, "not-found")
        nobody = "00000000-0000-4000-8000-000000000000"
        assert kind(await withdraw(api, nobody)) == (404, "not-found")

    async def test_is_of_one_meter(self, api: Api) -> None:
        """Its name opens nothing at another one."""
        _, made = await declare(api, "AQ-000002")

        assert kind(await withdraw(api, made["gap_id"])) == (404, "not-found")
        assert (await gaps(api, "?from=2026-02-03&to=2026-02-06"))["declared"] == []

    async def test_is_declared_by_one_of_two_at_once(self, api: Api) -> None:
        """Two clerks, other reasons, the same days: one word stands, the other is told."""
        answers = await asyncio.gather(
            *(declare(api, because=f"clerk {number}") for number in range(6))
        )

        assert sorted(status for status, _ in answers) == [201, *[409] * 5]
        stands = await api.owner.fetchval("SELECT count(*) FROM declared_gap")
        assert stands == 1
