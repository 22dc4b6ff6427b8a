"""What a meter used in a month, over HTTP: billed, measured, or made up and marked so."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.app.api_town import Api, bill, token_for
from tests.app.test_metering_api import kind, read

FEBRUARY: Final = datetime(2026, 1, 31, 19, tzinfo=UTC)
MARCH: Final = datetime(2026, 2, 28, 19, tzinfo=UTC)
DAY: Final = timedelta(days=1)


async def consumption(api: Api, query: str, meter_id: str = "AQ-000001") -> tuple[int, Any]:
    path = f"/v1/meters/{meter_id}/consumption?{query}"
    return await api.call("GET", path, token=api.operator)


async def used(api: Api, query: str) -> tuple[Any, ...]:
    status, shown = await consumption(api, query)
    assert status == 200
    methods = [(one["method"], one["why"]) for one in shown["stays"]]
    return shown["volume_dm3"], shown["quality"], methods


class TestConsumption:
    """What a meter used ..."""

    async def test_is_what_was_billed(self, api: Api) -> None:
        """120 m3 less 20 m3, before the bill from registers and after it from the books."""
        assert await used(api, "period=2026-01") == (100_000, "actual", [("registers", None)])
        await bill(api)
        assert await used(api, "period=2026-01") == (100_000, "actual", [("billed", None)])
        _, shown = await consumption(api, "period=2026-01")
        assert shown["stays"][0] == {
            "installed_at": "2025-12-31T19:00:00Z",
            "account_id": "A-1",
            "from_at": "2025-12-31T19:00:00Z",
            "to_at": "2026-01-31T19:00:00Z",
            "volume_dm3": 100_000,
            "quality": "actual",
            "method": "billed",
            "why": None,
            "rules": [],
        }

    async def test_is_estimated_where_nobody_measured(self, api: Api) -> None:
        """28 days at 100 m3 in 31 are 90 322.58 dm3; without January's bill only a norm helps."""
        api.clock.advance_to(MARCH + DAY)
        unknown = (None, None, [(None, "no_history")])
        assert await used(api, "period=2026-02") == unknown
        assert await used(api, "period=2026-02&norm_dm3_month=30000") == (
            28_000,
            "norm",
            [("norm", "no_history")],
        )
        await bill(api)
        assert await used(api, "period=2026-02") == (
            90_323,
            "estimated",
            [("previous", "no_last_year")],
        )

    async def test_lies_on_a_line_when_the_next_register_has_come(self, api: Api) -> None:
        """120 m3 on the 1st, 180 m3 on the 3rd of March, thirty days later: 2 m3 a day, 28 days."""
        await read(api, 180_000, FEBRUARY + 30 * DAY, 0)
        api.clock.advance_to(MARCH + 5 * DAY)
        assert await used(api, "period=2026-02") == (
            56_000,
            "substituted",
            [("flat", "between_registers")],
        )

    async def test_is_edited_when_a_person_wrote_the_register(self, api: Api) -> None:
        """And late when it reached us after more than 35 days."""
        await read(api, 90_000_000, MARCH, None)
        api.clock.advance_to(MARCH + DAY)
        path = f"/v1/meters/AQ-000001/readings/{MARCH:%Y-%m-%dT%H:%M:%SZ}/replace"
        body = {"because": "photo", "register_dm3": 170_000}
        assert (await api.call("POST", path, token=api.operator, json=body))[0] == 201
        assert await used(api, "period=2026-02") == (50_000, "edited", [("registers", None)])
        await api.owner.execute(
            "UPDATE reading SET received_at = read_at + interval '36 days' WHERE read_at = $1",
            FEBRUARY,
        )
        assert (await used(api, "period=2026-01"))[:2] == (100_000, "actual_late")

    async def test_stops_being_an_estimate_after_three_months(self, api: Api) -> None:
        """May of last year is known, but February to April lack a register: the norm, in May."""
        await bill(api)
        api.clock.advance_to(datetime(2026, 6, 2, tzinfo=UTC))
        api.operator = await token_for(api.pool, None, days=200)
        await api.owner.execute(
            "INSERT INTO usage VALUES ('AQ-000001', '2025-05-01T00:00+05', '2025-06-01T00:00+05',"
            " '2025-05-01', '2025-12-31T19:00Z', 'A-1', 'SP-1', 0, 0, '2025-05-01T00:00+05', 31000,"
            " 0, '2025-06-01T00:00+05', 31000)"
        )
        months = [await used(api, f"period=2026-0{month}") for month in (2, 3, 4)]
        assert [one[1] for one in months] == ["estimated", None, None]
        assert await used(api, "period=2026-05&norm_dm3_month=30000") == (
            31_000,
            "norm",
            [("norm", "too_many_in_a_row")],
        )

    async def test_is_of_a_meter_and_a_month_that_is_over(self, api: Api) -> None:
        """Half a month is no month, and nobody's gas is nothing."""
        assert kind(await consumption(api, "period=2026-02")) == (409, "period-not-over")
        assert kind(await consumption(api, "period=2026-13")) == (422, "invalid")
        assert kind(await consumption(api, "period=2026-01", "AQ-9")) == (404, "not-found")
        assert await used(api, "period=2025-12") == (None, None, [])
