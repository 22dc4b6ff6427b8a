"""Gas at standard conditions and as energy over HTTP; off, nothing of it is there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest

from metering.conversion import EnergyRule
from metering.io.conversions import Wanted
from tests.app.api_town import NEW_YEAR, Api, served
from tests.app.test_desk_race import waiting
from tests.app.test_metering_api import kind, read
from tests.app.test_use_api import consumption

MARCH: Final = datetime(2026, 2, 28, 19, tzinfo=UTC)
# Published for Vinnytsia, months 1 to 12: unheated; riser above 1.0 m.
TABLE: Final = {
    "version": "vinnytsia-2017",
    "valid_from": "2026-01-01",
    "unheated": [10_500, 10_500, 10_500, 10_400, 10_200, 10_100, 10_000, 10_000, 10_000, 10_200,
                 10_300, 10_400],
    "outdoor": [10_800, 10_800, 10_600, 10_300, 10_100, 9_800, 9_700, 9_800, 10_100, 10_300,
                10_500, 10_700],
    "approved_by": "order 7",
}  # fmt: skip
PLACE: Final = {
    "installed_at": NEW_YEAR,
    "valid_from": "2026-01-01",
    "place": "outdoor",
    "zone": "town",
}
HEAT: Final = {
    "zone": "town",
    "unit": "mj_m3",
    "span": "month",
    "source": "the network",
    "values": [{"start_on": "2026-01-01", "hundred_thousandths": 4_000_000}],
}
BONN: Final = {
    "temperature_c_tenths": 150,
    "air_hpa_hundredths": 100_000,
    "supply_hpa_hundredths": 2_100,
}
ZONE: Final = {
    "zone": "town",
    "rule": "de",
    "valid_from": "2026-01-01",
    "figures": BONN,
    "approved_by": "order 8",
}
PLACES: Final = "/v1/meters/AQ-000001/places"


async def post(api: Api, path: str, body: object) -> tuple[int, Any]:
    return await api.call("POST", path, token=api.operator, json=body)


async def get(api: Api, path: str) -> Any:
    status, shown = await api.call("GET", path, token=api.operator)
    assert status == 200
    return shown


async def stay(api: Api, period: str = "2026-01") -> Any:
    status, shown = await consumption(api, f"period={period}")
    assert status == 200
    return shown["stays"][0]


@asynccontextmanager
async def asking(
    pool: asyncpg.Pool, owner: asyncpg.Connection, rule: EnergyRule | None
) -> AsyncIterator[Api]:
    async with served(pool, owner, wanted=Wanted(standard=True, energy=rule)) as api:
        yield api


class TestAtStandardConditions:
    """100 m3 of January at standard conditions ..."""

    async def test_are_absent_where_nobody_asks(self, api: Api) -> None:
        """Off by default, whatever was entered."""
        assert (await post(api, "/v1/coefficient-tables", TABLE))[0] == 201
        assert (await post(api, PLACES, PLACE))[0] == 201
        assert {"standard", "energy"} & set(await stay(api)) == set()

    async def test_come_from_place_and_table(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Each lack has its word; then 1.08; and the volume itself stays what it was."""
        async with asking(pool, owner, None) as api:
            found = await stay(api)
            assert "energy" not in found
            assert found["standard"]["why"] == "place_unknown"
            await post(api, PLACES, PLACE)
            assert (await stay(api))["standard"]["why"] == "no_coefficient"
            await post(api, "/v1/coefficient-tables", TABLE)
            found = await stay(api)
            assert found["volume_dm3"] == 100_000
            assert found["standard"] == {
                "standard_dm3": 108_000,
                "place": "outdoor",
                "table": "vinnytsia-2017",
                "coefficient": 10_800,
                "denominator": 10_000,
                "why": None,
            }
            await owner.execute("UPDATE meter SET compensated = true")
            found = (await stay(api))["standard"]
            assert (found["standard_dm3"], found["table"]) == (100_000, None)

    async def test_follow_the_table_of_their_month(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A table from February on leaves January alone; its correction counts from then on."""
        async with asking(pool, owner, None) as api:
            await post(api, PLACES, PLACE)
            await post(api, "/v1/coefficient-tables", TABLE)
            warm = {
                **TABLE,
                "version": "2026",
                "valid_from": "2026-02-01",
                "outdoor": [10_100] * 12,
            }
            await post(api, "/v1/coefficient-tables", warm)
            await read(api, 170_000, MARCH, 0)
            api.clock.advance_to(MARCH + timedelta(days=1))
            told = [
                (one["standard_dm3"], one["table"])
                for one in [
                    (await stay(api, month))["standard"] for month in ("2026-01", "2026-02")
                ]
            ]
            assert told == [(108_000, "vinnytsia-2017"), (50_500, "2026")]
            await post(
                api,
                "/v1/coefficient-tables",
                {**warm, "version": "2026b", "outdoor": [10_200] * 12},
            )
            february = (await stay(api, "2026-02"))["standard"]
            assert (february["standard_dm3"], february["table"]) == (51_000, "2026b")
            assert (await stay(api))["standard"]["table"] == "vinnytsia-2017"

    async def test_have_one_place(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """A meter moved on the 31st hung in two; one that moves on the 1st of February did not."""
        async with asking(pool, owner, None) as api:
            await post(api, "/v1/coefficient-tables", TABLE)
            await post(api, PLACES, PLACE)
            await post(api, PLACES, {**PLACE, "valid_from": "2026-02-01", "place": "unheated"})
            assert (await stay(api))["standard"]["standard_dm3"] == 108_000
            await post(api, PLACES, {**PLACE, "valid_from": "2026-01-31", "place": "unheated"})
            assert (await stay(api))["standard"]["why"] == "place_changed"
            await post(api, PLACES, {**PLACE, "valid_from": "2026-01-31"})
            assert (await stay(api))["standard"]["standard_dm3"] == 108_000


class TestEnergy:
    """100 m3 of January as energy ..."""

    async def test_are_british(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """100 * 1.02264 * 40 / 3.6 = 1136.2667 kWh, of the dial's m3 and not of the standard ones.

        A better value is a revision that counts at once: 39.3 gives 1116.382 kWh.
        """
        async with asking(pool, owner, EnergyRule.UK) as api:
            assert (await stay(api))["energy"]["why"] == "place_unknown"
            await post(api, PLACES, PLACE)
            found = (await stay(api))["energy"]
            assert (found["value"], found["why"]) == (None, "no_calorific_value")
            await post(api, "/v1/coefficient-tables", TABLE)
            await post(api, "/v1/calorific-values", HEAT)
            found = await stay(api)
            assert found["standard"]["standard_dm3"] == 108_000
            assert found["energy"] == {
                "rule": "uk",
                "zone": "town",
                "unit": "wh",
                "value": 1_136_267,
                "steps": {"correction": "1.02264", "calorific_mj_m3": "40", "kwh": "1136.267"},
                "why": None,
            }
            better = [{"start_on": "2026-01-01", "hundred_thousandths": 3_930_000}]
            await post(api, "/v1/calorific-values", {**HEAT, "values": better})
            assert (await stay(api))["energy"]["value"] == 1_116_382

    async def test_need_the_heat_of_every_day(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """30 of 31 days are not enough, nor is the 1st of February; with the 31st they are."""
        async with asking(pool, owner, EnergyRule.UK) as api:
            await post(api, PLACES, PLACE)
            days = [date(2026, 1, 1) + timedelta(days=count) for count in range(32)]
            values = [
                {"start_on": day.isoformat(), "hundred_thousandths": 4_000_000}
                for day in days
                if day != date(2026, 1, 31)
            ]
            await post(api, "/v1/calorific-values", {**HEAT, "span": "day", "values": values})
            assert (await stay(api))["energy"]["why"] == "no_calorific_value"
            last = [{"start_on": "2026-01-31", "hundred_thousandths": 4_000_000}]
            await post(api, "/v1/calorific-values", {**HEAT, "span": "day", "values": last})
            assert (await stay(api))["energy"]["value"] == 1_136_267

    async def test_are_german(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """100 * 0.9552 * 11.2 = 1069.824 kWh; MJ are not taken for kWh."""
        async with asking(pool, owner, EnergyRule.DE) as api:
            await post(api, PLACES, PLACE)
            await post(api, "/v1/calorific-values", HEAT)
            assert (await stay(api))["energy"]["why"] == "no_zone_figures"
            await post(api, "/v1/energy-zones", {**ZONE, "valid_from": "2026-02-01"})
            assert (await stay(api))["energy"]["why"] == "no_zone_figures"
            await post(api, "/v1/energy-zones", ZONE)
            assert (await stay(api))["energy"]["why"] == "no_calorific_value"
            values = [{"start_on": "2026-01-01", "hundred_thousandths": 1_120_000}]
            await post(api, "/v1/calorific-values", {**HEAT, "unit": "kwh_m3", "values": values})
            found = (await stay(api))["energy"]
            assert (found["value"], found["steps"]["state_number"]) == (1_069_824, "0.9552")

    async def test_are_italian(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """Milan: C = 1.027475, so 102.7475 standard m3."""
        async with asking(pool, owner, EnergyRule.IT) as api:
            await post(api, PLACES, PLACE)
            figures = {"height_m": 120, "degree_days": 2404, "season_days": 183}
            await post(api, "/v1/energy-zones", {**ZONE, "rule": "it", "figures": figures})
            found = (await stay(api))["energy"]
            assert (found["unit"], found["value"]) == ("smc_millionths", 102_747_500)
            assert found["steps"]["coefficient"] == "1.027475"


class TestWhatATownSays:
    """What a town says about gas ..."""

    @pytest.mark.parametrize(
        ("path", "body", "listed"),
        [
            ("/v1/coefficient-tables", TABLE, "tables"),
            (PLACES, PLACE, "places"),
            ("/v1/energy-zones", ZONE, "zones"),
        ],
    )
    async def test_is_kept_once(self, api: Api, path: str, body: Any, listed: str) -> None:
        """The same again answers 200 and writes nothing."""
        status, shown = await post(api, path, body)
        assert (status, shown["revision"]) == (201, 1)
        assert await post(api, path, body) == (200, shown)
        assert (await get(api, path))[listed] == [shown]

    async def test_is_never_changed(self, api: Api) -> None:
        """Another word of the same day is another row, and both are listed."""
        await post(api, PLACES, PLACE)
        status, shown = await post(api, PLACES, {**PLACE, "place": "heated"})
        assert (status, shown["revision"], shown["said_by"]) == (201, 2, "a test")
        assert [one["place"] for one in (await get(api, PLACES))["places"]] == ["heated", "outdoor"]
        await post(api, "/v1/energy-zones", ZONE)
        warm = {**ZONE, "figures": {**BONN, "temperature_c_tenths": 160}}
        assert (await post(api, "/v1/energy-zones", warm))[1]["revision"] == 2

    async def test_is_heat_with_revisions(self, api: Api) -> None:
        """Two days, one of them better later: three rows, of which two count."""
        values = [
            {"start_on": f"2026-01-0{day}", "hundred_thousandths": 3_930_000} for day in (1, 2)
        ]
        told = {**HEAT, "span": "day", "values": values}
        assert await post(api, "/v1/calorific-values", told) == (200, {"values": 2, "news": 2})
        assert await post(api, "/v1/calorific-values", told) == (200, {"values": 2, "news": 0})
        values[1]["hundred_thousandths"] = 3_940_000
        assert await post(api, "/v1/calorific-values", told) == (200, {"values": 2, "news": 1})
        query = "zone=town&unit=mj_m3&from_day=2026-01-01&to_day=2026-01-03"
        shown = (await get(api, f"/v1/calorific-values?{query}"))["values"]
        assert [(one["revision"], one["hundred_thousandths"]) for one in shown] == [
            (1, 3_930_000),
            (2, 3_940_000),
        ]
        assert await api.owner.fetchval("SELECT count(*) FROM calorific_value") == 3

    @pytest.mark.parametrize(
        ("path", "body", "expected", "why"),
        [
            ("/v1/coefficient-tables", {**TABLE, "valid_from": "2026-01-02"},
             (422, "standard-refused"), "not_a_month"),
            ("/v1/coefficient-tables", {**TABLE, "outdoor": [10_000] * 11}, (422, "invalid"), None),
            ("/v1/coefficient-tables", {**TABLE, "outdoor": [7_999] * 12}, (422, "invalid"), None),
            ("/v1/coefficient-tables", {**TABLE, "outdoor": [1.05] * 12}, (422, "invalid"), None),
            (PLACES, {**PLACE, "valid_from": "2025-12-31"}, (422, "standard-refused"),
             "before_installation"),
            (PLACES, {**PLACE, "place": "cellar"}, (422, "invalid"), None),
            (PLACES, {**PLACE, "installed_at": "2026-01-02T00:00:00+05:00"},
             (409, "not-installed"), "no stay of the meter began then"),
            ("/v1/meters/AQ-9/places", PLACE, (404, "not-found"), None),
            ("/v1/energy-zones", {**ZONE, "rule": "uk", "figures": {}}, (422, "standard-refused"),
             "rule_without_figures"),
            ("/v1/energy-zones", {**ZONE, "figures": {"height_m": 1}}, (422, "standard-refused"),
             "wrong_figures"),
            ("/v1/energy-zones", {**ZONE, "figures": {**BONN, "supply_hpa_hundredths": -1}},
             (422, "standard-refused"), "out_of_range"),
            ("/v1/energy-zones", {**ZONE, "valid_from": "2026-01-15"}, (422, "standard-refused"),
             "not_a_month"),
            ("/v1/calorific-values", {**HEAT, "unit": "kwh_m3"}, (422, "standard-refused"),
             "out_of_range"),
            ("/v1/calorific-values", {**HEAT, "values": HEAT["values"] * 2},  # type: ignore[operator]
             (422, "invalid"), None),
            ("/v1/calorific-values",
             {**HEAT, "values": [{"start_on": "2026-01-02", "hundred_thousandths": 4_000_000}]},
             (422, "standard-refused"), "not_a_month"),
        ],
    )  # fmt: skip
    async def test_is_refused_when_it_cannot_be(
        self, api: Api, path: str, body: Any, expected: tuple[int, str], why: str | None
    ) -> None:
        """With the reason in one word, and nothing is written."""
        answer = await post(api, path, body)
        assert kind(answer) == expected
        if why is not None:
            assert answer[1]["detail"] == why
        for table in ("coefficient_table", "stay_place", "zone_figures", "calorific_value"):
            assert await api.owner.fetchval(f"SELECT count(*) FROM {table}") == 0

    async def test_is_no_other_table_of_the_same_version(self, api: Api) -> None:
        """A bill that names a version must always mean the same figures."""
        await post(api, "/v1/coefficient-tables", TABLE)
        other = {**TABLE, "outdoor": [10_000] * 12}
        assert kind(await post(api, "/v1/coefficient-tables", other)) == (409, "table-known")

    async def test_ends_with_the_stay(self, api: Api) -> None:
        """Taken down on the 1st of February: that day was one of the stay, the 2nd was not."""
        await api.owner.execute(
            "UPDATE installation SET removed_at = '2026-02-01T12:00+05', closing_dm3 = 120000,"
            " closing_turns = 0 WHERE meter_id = 'AQ-000001'"
        )
        assert (await post(api, PLACES, {**PLACE, "valid_from": "2026-02-01"}))[0] == 201
        answer = await post(api, PLACES, {**PLACE, "valid_from": "2026-02-02"})
        assert answer[1]["detail"] == "after_removal"

    @pytest.mark.parametrize(
        ("path", "body", "table", "answers"),
        [
            ("/v1/coefficient-tables", TABLE, "coefficient_table", [200, 201]),
            (PLACES, PLACE, "stay_place", [200, 201]),
            ("/v1/energy-zones", ZONE, "zone_figures", [200, 201]),
            ("/v1/calorific-values", HEAT, "calorific_value", [200, 200]),
        ],
    )
    async def test_is_one_when_two_say_it_at_once(
        self, api: Api, path: str, body: Any, table: str, answers: list[int]
    ) -> None:
        """Both have found nothing there before either has written, unless one waits."""
        async with api.owner.transaction():
            await api.owner.execute(f"LOCK TABLE {table} IN SHARE MODE")
            running = [asyncio.ensure_future(post(api, path, body)) for _ in range(2)]
            async with asyncio.timeout(10):
                while await waiting(api) < len(running):
                    continue
        statuses = [status for status, _ in await asyncio.gather(*running)]
        assert sorted(statuses) == answers
        assert await api.owner.fetchval(f"SELECT count(*) FROM {table}") == 1
