"""Worked bills that an accountant can read, against the run's SQL and against rating in Python."""

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from billing import rating
from billing.bill import draft
from billing.io.store import BillingStore
from billing.period import Period
from billing.rating import Household, Rated, Usage
from billing.reconcile import reconcile
from billing.tariff import Tariff, VatRate, price_intervals
from billing.terms import spans
from tests.billing.town import Town

FOLDER = Path(__file__).parents[1] / "vectors" / "bills"
VECTORS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
EACH = pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())

LINE_FIELDS = ("volume_dm3", "net_minor_per_1000_m3", "vat_rate_bp", "net_minor", "vat_minor")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def usages(vector: dict[str, Any]) -> list[Usage]:
    """Read the stretches of gas that the vector's lines were worked out from."""
    installed = {meter["meter"]: instant(meter["installed_at"]) for meter in vector["meters"]}
    dials = {meter["meter"]: meter["dial_dm3"] for meter in vector["meters"]}
    found = []
    for line in vector["expected"]["lines"]:
        usage = Usage(
            meter_id=line["meter"],
            installed_at=installed[line["meter"]],
            account_id="AC-1",
            supply_point_id="SP-1",
            from_at=instant(line["from"]),
            to_at=instant(line["to"]),
            opening_register_dm3=line["opening_dm3"],
            opening_turns=line["opening_turns"],
            opening_read_at=instant(line["from"]),
            closing_register_dm3=line["closing_dm3"],
            closing_turns=line["closing_turns"],
            closing_read_at=instant(line["to"]),
            volume_dm3=line["volume_dm3"],
        )
        assert rating.volume_dm3(usage, dial_dm3=dials[line["meter"]]) == line["volume_dm3"]
        found.append(usage)
    return found


async def settle(owner: asyncpg.Connection, vector: dict[str, Any]) -> None:
    town = Town(owner)
    await owner.execute("DELETE FROM vat_rate")
    for rate in vector["vat_rates"]:
        await owner.execute(
            "INSERT INTO vat_rate VALUES ($1, $2, 'a worked bill')",
            date.fromisoformat(rate["valid_from"]),
            rate["rate_bp"],
        )
    for tariff in vector["tariffs"]:
        await town.tariff(tariff["net_minor_per_1000_m3"], tariff["valid_from"], tariff["valid_to"])
    await town.account("AC-1")
    for meter in vector["meters"]:
        await town.meter(meter["meter"], dial_dm3=meter["dial_dm3"])
        await town.install(meter["meter"], "AC-1", meter["installed_at"], meter["opening_dm3"])
        if "removed_at" in meter:
            await town.remove(
                meter["meter"], meter["removed_at"], meter["closing_dm3"], meter["closing_turns"]
            )
    for one in vector["readings"]:
        await town.read(one["meter"], one["at"], one["dm3"], one["turns"])


class TestWorkedBills:
    """A bill worked out by hand ..."""

    def test_are_found(self) -> None:
        """A moved folder would make the tests below pass for nothing."""
        assert len(VECTORS) >= 10

    @EACH
    async def test_comes_out_of_the_run(
        self, vector: dict[str, Any], pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The set-based run turns the readings into exactly these lines."""
        await settle(owner, vector)
        period = Period.parse(vector["period"])
        at = period.bounds(vector["zone"])[1] + timedelta(hours=8)

        await reconcile(store=BillingStore(pool), period=period, at=at, zone=vector["zone"])

        bill = await BillingStore(pool).bill("AC-1", vector["period"])
        assert bill is not None
        expected = vector["expected"]["lines"]
        assert [
            (line.meter_id, line.from_at, line.to_at, line.tariff_valid_from) for line in bill.lines
        ] == [
            (
                line["meter"],
                instant(line["from"]),
                instant(line["to"]),
                date.fromisoformat(line["tariff_valid_from"]),
            )
            for line in expected
        ]
        assert [(line.opening_register_dm3, line.closing_register_dm3) for line in bill.lines] == [
            (line["opening_dm3"], line["closing_dm3"]) for line in expected
        ]
        for name in LINE_FIELDS:
            assert [getattr(line, name) for line in bill.lines] == [line[name] for line in expected]
        for name, value in vector["expected"]["bill"].items():
            assert str(getattr(bill, name)) == str(value)

    @EACH
    def test_comes_out_of_rating(self, vector: dict[str, Any]) -> None:
        """The second implementation, which the audit uses, agrees to the last tiyn."""
        period = Period.parse(vector["period"])
        prices = price_intervals(
            [
                Tariff(
                    tariff_code="household",
                    valid_from=date.fromisoformat(tariff["valid_from"]),
                    valid_to=tariff["valid_to"] and date.fromisoformat(tariff["valid_to"]),
                    net_minor_per_1000_m3=tariff["net_minor_per_1000_m3"],
                    currency="KZT",
                    approved_by="a worked bill",
                )
                for tariff in vector["tariffs"]
            ],
            [
                VatRate(valid_from=date.fromisoformat(rate["valid_from"]), rate_bp=rate["rate_bp"])
                for rate in vector["vat_rates"]
            ],
            period,
            vector["zone"],
        )

        household = Household(
            currency="KZT",
            spans=spans((), opened_with="household", period=period),
            period=period,
            zone=vector["zone"],
        )

        rated = rating.rate(usages(vector), prices, household)

        assert isinstance(rated, Rated)
        for name in LINE_FIELDS:
            assert [getattr(line, name) for line in rated.lines] == [
                line[name] for line in vector["expected"]["lines"]
            ]
        at = period.bounds(vector["zone"])[1]
        bill = draft(
            rated.lines, rated.charges, account_id="AC-1", currency="KZT", period=period, at=at
        )
        for name, value in vector["expected"]["bill"].items():
            assert str(getattr(bill, name)) == str(value)
