"""The record of a bill, read from a real database."""

import json
from datetime import UTC, date, datetime
from typing import Any, Final

import asyncpg
import pytest

from billing.bill import revision_of
from billing.io.records import BillUnknownError, Records
from billing.io.store import BillingStore
from billing.period import Period
from billing.reconcile import reconcile
from billing.record import canonical
from tests.billing.town import Town

ZONE: Final = "Asia/Almaty"
AT: Final = datetime(2026, 2, 2, 3, 0, tzinfo=UTC)
HUNG: Final = "2025-12-01T12:00:00+05:00"
JAN_1: Final = "2026-01-01T00:00:00+05:00"
JAN_15: Final = "2026-01-15T00:00:00+05:00"
FEB_1: Final = "2026-02-01T00:00:00+05:00"

# 77.777 m3 at 6.40490: 498.1539 tenge, 498.15; 16 per cent of it 79.704, 79.70.
JANUARY: Final[dict[str, Any]] = {
    "format": "aqkol-bill/1",
    "account_id": "AC-1",
    "bill_no": "2026-01",
    "number": "AC-1/2026-01",
    "kind": "bill",
    "corrects_bill_no": None,
    "period": {"from": "2026-01-01", "to": "2026-02-01", "zone": "Asia/Almaty"},
    "currency": "KZT",
    "issued_at": "2026-02-02T03:00:00+00:00",
    "due_on": "2026-02-25",
    "terms": [
        {
            "from": "2026-01-01",
            "to": "2026-02-01",
            "tariff_code": "household",
            "persons": 1,
            "social": False,
        }
    ],
    "tariffs": [
        {
            "tariff_code": "household",
            "valid_from": "2025-01-01",
            "valid_to": None,
            "net_minor_per_1000_m3": 640_490,
            "net_minor_per_gwh": None,
            "rounding": "half_up",
            "norm_per": "household",
            "heating_months": [],
            "standing_net_minor_per_1000_days": 0,
            "standing_net_minor_per_month": 0,
            "discount_bp": 0,
            "discount_norm": None,
            "discount_norm_heating": None,
            "bands": [],
            "proposed_by": None,
            "approved_by": "a test",
        }
    ],
    "vat_rates": [{"valid_from": "2026-01-01", "rate_bp": 1600}],
    "usages": [
        {
            "meter_id": "AQ-1",
            "supply_point_id": "SP-1",
            "dial_dm3": 100_000_000,
            "from_at": "2025-12-31T19:00:00+00:00",
            "to_at": "2026-01-31T19:00:00+00:00",
            "opening": {
                "read_at": "2025-12-31T19:00:00+00:00",
                "register_dm3": 1_000,
                "turns": 0,
                "quality": "read",
            },
            "closing": {
                "read_at": "2026-01-31T19:00:00+00:00",
                "register_dm3": 78_777,
                "turns": 0,
                "quality": "read",
            },
            "volume_dm3": 77_777,
            "standard_dm3": None,
            "energy_wh": None,
        }
    ],
    "lines": [
        {
            "line_no": 1,
            "meter_id": "AQ-1",
            "supply_point_id": "SP-1",
            "from_at": "2025-12-31T19:00:00+00:00",
            "to_at": "2026-01-31T19:00:00+00:00",
            "opening_register_dm3": 1_000,
            "opening_read_at": "2025-12-31T19:00:00+00:00",
            "closing_register_dm3": 78_777,
            "closing_read_at": "2026-01-31T19:00:00+00:00",
            "volume_dm3": 77_777,
            "tariff_code": "household",
            "tariff_valid_from": "2025-01-01",
            "net_minor_per_1000_m3": 640_490,
            "vat_rate_bp": 1600,
            "net_minor": 49_815,
            "vat_minor": 7_970,
            "band_no": 1,
            "multiplier_bp": 10_000,
            "energy_wh": None,
            "net_minor_per_gwh": None,
            "days": 31,
            "days_of": 31,
            "opening_quality": "read",
            "closing_quality": "read",
        }
    ],
    "charges": [],
    "totals": {
        "volume_dm3": 77_777,
        "net_minor": 49_815,
        "vat_minor": 7_970,
        "total_minor": 57_785,
        "vat": [{"rate_bp": 1600, "net_minor": 49_815, "vat_minor": 7_970}],
    },
}


async def run(pool: asyncpg.Pool) -> None:
    await reconcile(store=BillingStore(pool), period=Period.month(2026, 1), at=AT, zone=ZONE)


async def settle(pool: asyncpg.Pool, owner: asyncpg.Connection, *names: str) -> Town:
    town = Town(owner)
    await town.tariff(640_490, "2025-01-01")
    for name in names:
        await town.home(name, {HUNG: 0, JAN_1: 1_000, FEB_1: 78_777})
    await run(pool)
    return town


class TestRecord:
    """The record of a bill ..."""

    async def test_says_everything_it_was_made_of(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Field by field: a stranger must be able to make the same bill of it."""
        await settle(pool, owner, "1")

        assert await Records(pool=pool, zone=ZONE).record("AC-1", "2026-01") == JANUARY

    async def test_has_one_spelling(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """Two readings of one bill are the same bytes, which a digest can stand for."""
        await settle(pool, owner, "1")
        records = Records(pool=pool, zone=ZONE)

        first = canonical(await records.record("AC-1", "2026-01"))
        again = canonical(await records.record("AC-1", "2026-01"))

        assert first == again
        assert json.loads(first) == JANUARY
        assert first.startswith(b'{"account_id":"AC-1","bill_no":"2026-01","charges":[],')

    async def test_does_not_change_with_what_is_said_later(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Neither the end of a tariff in summer nor terms said after the bill are part of it."""
        await settle(pool, owner, "1")
        await owner.execute("UPDATE tariff SET valid_to = '2026-07-01'")
        await owner.execute(
            "INSERT INTO account_terms VALUES"
            " ('AC-1', '2026-01-10', 1, 'household', 4, true, 'desk', $1)",
            datetime(2026, 2, 3, tzinfo=UTC),
        )

        assert await Records(pool=pool, zone=ZONE).record("AC-1", "2026-01") == JANUARY

    async def test_says_the_gas_as_it_was_measured_by_then(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Measured anew after the bill: its record stays, that of a later bill has the new."""
        await settle(pool, owner, "1")
        await owner.execute(
            "INSERT INTO usage_revision"
            " SELECT meter_id, from_at, 2, to_at, period_start, installed_at, account_id,"
            " supply_point_id, opening_register_dm3, 0, opening_read_at, 70000, 0, closing_read_at,"
            " 69000, 'read', 'estimated', NULL, 'reading', $1 FROM usage"
            " WHERE period_start = '2026-01-01'",
            datetime(2026, 2, 3, tzinfo=UTC),
        )
        await owner.execute(
            "INSERT INTO bill VALUES ('AC-1', '2026-01-3', '2026-01-01', '2026-02-01', 3,"
            " 0, 0, 0, 0, 'KZT', '2026-02-04Z', '2026-02-25', 'rebill', '2026-01')"
        )
        records = Records(pool=pool, zone=ZONE)

        assert await records.record("AC-1", "2026-01") == JANUARY
        (usage,) = (await records.record("AC-1", "2026-01-3"))["usages"]
        assert usage["closing"] == {
            "read_at": "2026-01-31T19:00:00+00:00",
            "register_dm3": 70_000,
            "turns": 0,
            "quality": "estimated",
        }
        assert usage["volume_dm3"] == 69_000

    async def test_names_terms_prices_and_bands_of_the_period(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """A price that begins on the 15th and terms from the 10th: each with its days."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01", "2026-01-15")
        await town.tariff(700_000, "2026-01-15", "2026-02-01")
        await town.tariff(800_000, "2026-02-01")
        await town.tariff(1, "2025-01-01", code="shops")
        await owner.execute(
            "INSERT INTO tariff_band VALUES"
            " ('household', '2026-01-15', 1, 50000, NULL, 10000, NULL),"
            " ('household', '2026-01-15', 2, NULL, NULL, 13000, NULL)"
        )
        await town.home("1", {HUNG: 0, JAN_1: 1_000, JAN_15: 41_000, FEB_1: 78_777})
        await owner.execute(
            "INSERT INTO account_terms VALUES"
            " ('AC-1', '2026-01-10', 1, 'household', 4, true, 'desk', $1)",
            datetime(2026, 1, 3, tzinfo=UTC),
        )
        await run(pool)

        record = await Records(pool=pool, zone=ZONE).record("AC-1", "2026-01")

        assert [(span["from"], span["to"], span["persons"]) for span in record["terms"]] == [
            ("2026-01-01", "2026-01-10", 1),
            ("2026-01-10", "2026-02-01", 4),
        ]
        assert [
            (one["valid_from"], one["valid_to"], len(one["bands"])) for one in record["tariffs"]
        ] == [("2025-01-01", "2026-01-15", 0), ("2026-01-15", "2026-02-01", 2)]
        assert record["tariffs"][1]["bands"][1] == {
            "band_no": 2,
            "up_to": None,
            "up_to_heating": None,
            "multiplier_bp": 13_000,
            "net_minor": None,
        }
        assert sum(line["volume_dm3"] for line in record["lines"]) == 77_777

    async def test_says_charges_with_their_detail(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """10.00 a day for 31 days are 310.00 and 49.60 of tax, beside the gas."""
        town = Town(owner)
        await town.tariff(640_490, "2025-01-01")
        await owner.execute("UPDATE tariff SET standing_net_minor_per_1000_days = 1000000")
        await town.home("1", {HUNG: 0, JAN_1: 1_000, FEB_1: 78_777})
        await run(pool)

        record = await Records(pool=pool, zone=ZONE).record("AC-1", "2026-01")

        (charge,) = record["charges"]
        assert (charge["kind"], charge["quantity"], charge["detail"]) == ("standing", 31, {})
        assert (charge["from_day"], charge["to_day"]) == ("2026-01-01", "2026-02-01")
        assert (charge["net_minor"], charge["vat_minor"]) == (31_000, 4_960)
        assert record["totals"]["vat"] == [
            {"rate_bp": 1600, "net_minor": 80_815, "vat_minor": 12_930}
        ]

    async def test_of_nothing_is_not_there(self, pool: asyncpg.Pool) -> None:
        """A bill nobody wrote has no record."""
        with pytest.raises(BillUnknownError):
            await Records(pool=pool, zone=ZONE).record("AC-1", "2026-01")


class TestPage:
    """A page of records ..."""

    async def test_goes_on_where_the_last_one_ended(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """In order of account; together the pages are all bills of the month."""
        await settle(pool, owner, "1", "2", "3")
        records = Records(pool=pool, zone=ZONE)
        start = date(2026, 1, 1)

        first = await records.page(start, chunk=2)
        rest = await records.page(start, after=("AC-2", 1), chunk=2)

        assert [record["account_id"] for record in (*first, *rest)] == ["AC-1", "AC-2", "AC-3"]
        assert first[0] == JANUARY
        assert await records.page(date(2026, 2, 1), chunk=2) == []


class TestCanonical:
    """The one spelling of a record ..."""

    def test_sorts_keys_and_keeps_letters(self) -> None:
        """Keys in order, no spaces, letters as they are."""
        assert canonical({"b": ["Ә"], "a": None}) == '{"a":null,"b":["Ә"]}'.encode()

    @pytest.mark.parametrize("value", [1.5, [2.0], {"a": [{"b": 0.1}]}])
    def test_refuses_floats(self, value: object) -> None:
        """0.1 has no exact value in most programs; a whole number has in all."""
        with pytest.raises(ValueError, match="whole numbers"):
            canonical({"x": value})


class TestRevision:
    """The number of a bill ..."""

    @pytest.mark.parametrize(
        ("number", "revision"), [("2026-01", 1), ("2026-01-2", 2), ("2026-12-117", 117)]
    )
    def test_names_the_revision_of_its_month(self, number: str, revision: int) -> None:
        """Nothing after the month is the first."""
        assert revision_of(number) == revision
