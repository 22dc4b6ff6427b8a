"""Worked bills that an accountant can read, against all three ways to work a bill out.

tests/vectors/README.md describes the files. Readings go into a real run; the run's own record goes
into the calculator; the stretches of gas that the file names go into rating.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from billing import rating
from billing.bill import Bill, Charge, Line, draft
from billing.io.records import Records
from billing.io.store import BillingStore
from billing.money import Rounding
from billing.period import Period
from billing.rating import Household, Rated, Usage
from billing.recompute import check, read
from billing.recompute.derive import derive
from billing.reconcile import reconcile
from billing.tariff import Band, NormPer, Tariff, VatRate, price_intervals
from billing.terms import Terms, spans
from tests.billing.town import Town

Json = dict[str, Any]

FOLDER = Path(__file__).parents[1] / "vectors" / "bills"
VECTORS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
EACH = pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())

# What a line or charge of a file may say in the words of our columns; the rest is said otherwise.
COLUMNS = (
    "band_no", "days", "days_of", "energy_wh", "from_day", "kind", "line_no", "multiplier_bp",
    "net_minor", "net_minor_per_1000_m3", "net_minor_per_gwh", "quantity", "tariff_valid_from",
    "to_day", "vat_minor", "vat_rate_bp", "volume_dm3",
)  # fmt: skip
DAYS = {"from_day", "to_day", "tariff_valid_from"}
OTHERWISE = {
    "meter": "meter_id",
    "from": "from_at",
    "to": "to_at",
    "opening_dm3": "opening_register_dm3",
    "closing_dm3": "closing_register_dm3",
}
# Turns stand on the usage, not on the line.
OF_THE_USAGE = {"opening_turns", "closing_turns"}


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def expected(rows: list[Json]) -> list[Json]:
    """Say what a file expects in the words of our columns."""
    found = []
    for row in rows:
        assert set(row) <= {*COLUMNS, *OTHERWISE, *OF_THE_USAGE}, "the file says what nobody checks"
        columns = {OTHERWISE.get(name, name): value for name, value in row.items()}
        for name, value in columns.items():
            if name in {"from_at", "to_at"}:
                columns[name] = instant(value)
            elif name in DAYS:
                columns[name] = day(value)
        found.append({name: columns[name] for name in columns if name not in OF_THE_USAGE})
    return found


def only(row: Mapping[str, Any], wanted: Json) -> Json:
    """Return of a row what a file speaks of."""
    return {name: row[name] for name in wanted}


def differences(vector: Json, lines: list[Json], charges: list[Json]) -> list[tuple[Json, Json]]:
    """Return what is not as the file says, beside what the file says."""
    wanted_lines = expected(vector["expected"]["lines"])
    wanted_charges = expected(vector["expected"].get("charges", []))
    assert (len(lines), len(charges)) == (len(wanted_lines), len(wanted_charges))
    pairs = zip([*lines, *charges], [*wanted_lines, *wanted_charges], strict=True)
    return [(only(row, wanted), wanted) for row, wanted in pairs if only(row, wanted) != wanted]


def columns(row: Line | Charge) -> Json:
    return {field.name: getattr(row, field.name) for field in fields(row)}


def tariffs(vector: Json) -> list[Tariff]:
    found = []
    for one in vector["tariffs"]:
        values = {
            "tariff_code": "household",
            "net_minor_per_1000_m3": None,
            "currency": vector.get("currency", "KZT"),
            "approved_by": "a worked bill",
        } | one
        values |= {name: day(values[name]) for name in ("valid_from", "valid_to")}
        values["bands"] = tuple(Band(**band) for band in values.get("bands", ()))
        values["rounding"] = Rounding(values.get("rounding", "half_up"))
        values["norm_per"] = NormPer(values.get("norm_per", "household"))
        values["heating_months"] = tuple(values.get("heating_months", ()))
        found.append(Tariff(**values))
    return found


def terms(vector: Json) -> list[Terms]:
    common: Json = {"account_id": "AC-1", "revision": 1, "tariff_code": "household", "persons": 1}
    common |= {"social": False, "said_by": "a test", "said_at": datetime(2020, 1, 1, tzinfo=UTC)}
    return [
        Terms(**(common | one | {"valid_from": day(one["valid_from"])}))
        for one in vector.get("terms", [])
    ]


def vat_rates(vector: Json) -> list[VatRate]:
    return [
        VatRate(valid_from=date.fromisoformat(rate["valid_from"]), rate_bp=rate["rate_bp"])
        for rate in vector["vat_rates"]
    ]


def usages(vector: Json) -> list[Usage]:
    """Read the stretches of gas that the vector's lines were worked out from."""
    meters = {meter["meter"]: meter for meter in vector["meters"]}
    energy = {(one["meter"], one["from"]): one["energy_wh"] for one in vector.get("energy", [])}
    found = []
    of_usage = ("meter", "opening_dm3", "opening_turns", "closing_dm3", "closing_turns")
    lines = [one | {"opening_turns": one.get("opening_turns", 0)} for one in (
        vector["expected"]["lines"]
    )]  # fmt: skip
    lines = [one | {"closing_turns": one.get("closing_turns", 0)} for one in lines]
    for key, group in groupby(lines, key=lambda line: tuple(line[name] for name in of_usage)):
        parts = list(group)
        meter = meters[key[0]]
        usage = Usage(
            meter_id=key[0],
            installed_at=instant(meter["installed_at"]),
            account_id="AC-1",
            supply_point_id=meter.get("point", "SP-1"),
            from_at=instant(parts[0]["from"]),
            to_at=instant(parts[-1]["to"]),
            opening_register_dm3=key[1],
            opening_turns=key[2],
            opening_read_at=instant(parts[0]["from"]),
            closing_register_dm3=key[3],
            closing_turns=key[4],
            closing_read_at=instant(parts[-1]["to"]),
            volume_dm3=sum(part["volume_dm3"] for part in parts),
            energy_wh=energy.get((key[0], parts[0]["from"])),
        )
        assert rating.volume_dm3(usage, dial_dm3=meter["dial_dm3"]) == usage.volume_dm3
        found.append(usage)
    return found


async def settle(owner: asyncpg.Connection, vector: Json) -> None:
    town = Town(owner)
    await owner.execute("DELETE FROM vat_rate")
    for rate in vat_rates(vector):
        await owner.execute(
            "INSERT INTO vat_rate VALUES ($1, $2, 'a worked bill')", rate.valid_from, rate.rate_bp
        )
    for tariff in tariffs(vector):
        await town.tariff_of(tariff)
    await town.account("AC-1", currency=vector.get("currency", "KZT"))
    for one in terms(vector):
        await town.terms(
            "AC-1",
            one.valid_from.isoformat(),
            tariff_code=one.tariff_code,
            persons=one.persons,
            social=one.social,
        )
    for meter in vector["meters"]:
        await town.meter(meter["meter"], dial_dm3=meter["dial_dm3"])
        await town.install(
            meter["meter"],
            "AC-1",
            meter["installed_at"],
            meter["opening_dm3"],
            point=meter.get("point", "SP-1"),
        )
        if "removed_at" in meter:
            await town.remove(
                meter["meter"], meter["removed_at"], meter["closing_dm3"], meter["closing_turns"]
            )
    for one in vector["readings"]:
        await town.read(one["meter"], one["at"], one["dm3"], one["turns"])


async def run(pool: asyncpg.Pool, owner: asyncpg.Connection, vector: Json) -> Bill:
    """Settle the file's account, run its month, and return the bill."""
    await settle(owner, vector)
    period = Period.parse(vector["period"])
    at = period.bounds(vector["zone"])[1] + timedelta(hours=8)
    await reconcile(store=BillingStore(pool), period=period, at=at, zone=vector["zone"])
    for one in vector.get("energy", []):
        # What the gas was worth is the file's own number; the bill waited for it.
        await owner.execute(
            "INSERT INTO usage_energy VALUES ($1, $2, NULL, $3, 'uk', '{}', $4)",
            one["meter"],
            instant(one["from"]),
            one["energy_wh"],
            at,
        )
    await reconcile(store=BillingStore(pool), period=period, at=at, zone=vector["zone"])
    bill = await BillingStore(pool).bill("AC-1", vector["period"])
    assert bill is not None
    return bill


class TestWorkedBills:
    """A bill worked out by hand ..."""

    def test_are_found(self) -> None:
        """A moved folder would make the tests below pass for nothing."""
        assert len(VECTORS) >= 40

    @EACH
    def test_adds_up_on_paper(self, vector: Json) -> None:
        """A slip of the pen in a file must not be looked for in the code."""
        rows = [*vector["expected"]["lines"], *vector["expected"].get("charges", [])]
        bill = vector["expected"]["bill"]

        for name in ("net_minor", "vat_minor"):
            assert sum(row[name] for row in rows) == bill[name]
        assert bill["net_minor"] + bill["vat_minor"] == bill["total_minor"]
        assert sum(row["volume_dm3"] for row in vector["expected"]["lines"]) == bill["volume_dm3"]

    @EACH
    async def test_comes_out_of_the_run(
        self, vector: Json, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The set-based run turns the readings into exactly these lines."""
        bill = await run(pool, owner, vector)

        lines, charges = map(columns, bill.lines), map(columns, bill.charges)
        assert differences(vector, list(lines), list(charges)) == []
        for name, value in vector["expected"]["bill"].items():
            assert str(getattr(bill, name)) == str(value)

    @EACH
    async def test_comes_out_of_the_calculator(
        self, vector: Json, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The third implementation sees the record alone, and finds the file's own numbers."""
        await run(pool, owner, vector)

        said = await Records(pool=pool, zone=vector["zone"]).record("AC-1", vector["period"])

        derived = derive(read(said))
        assert differences(vector, list(derived.lines), list(derived.charges)) == []
        assert check(read(said)).correct

    @EACH
    def test_comes_out_of_rating(self, vector: Json) -> None:
        """The second implementation, which the audit uses, agrees to the last tiyn."""
        period = Period.parse(vector["period"])
        prices = price_intervals(tariffs(vector), vat_rates(vector), period, vector["zone"])
        currency = vector.get("currency", "KZT")
        household = Household(
            currency=currency,
            spans=spans(terms(vector), opened_with="household", period=period),
            period=period,
            zone=vector["zone"],
        )

        rated = rating.rate(usages(vector), prices, household)

        assert isinstance(rated, Rated)
        lines, charges = map(columns, rated.lines), map(columns, rated.charges)
        assert differences(vector, list(lines), list(charges)) == []
        at = period.bounds(vector["zone"])[1]
        bill = draft(
            rated.lines, rated.charges, account_id="AC-1", currency=currency, period=period, at=at
        )
        for name, value in vector["expected"]["bill"].items():
            assert str(getattr(bill, name)) == str(value)
