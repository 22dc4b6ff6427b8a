"""The worked example of docs/tariffs.md, billed."""

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import asyncpg

from billing.io.proposals import PriceDesk
from billing.io.store import BillingStore
from billing.io.wire_prices import NewProposal
from billing.period import Calendar, Period
from billing.reconcile import reconcile
from tests.billing.town import Town

PAGE: Final = Path(__file__).parents[2] / "docs" / "tariffs.md"
ZONE: Final = "Asia/Almaty"


class TestTheWorkedExample:
    """The example an accountant reads ..."""

    async def test_is_what_the_run_bills(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The file on the page is set up as it stands there, and the bill has the table's sums."""
        text = PAGE.read_text(encoding="utf-8")
        found = re.search(r"```json\n(.*?)```", text, re.DOTALL)
        assert found is not None
        new = NewProposal.model_validate_json(found[1])
        assert new.tariff is not None
        await PriceDesk(pool=pool, calendar=Calendar(zone=ZONE)).set_up(
            new.tariff.tariff(approved_by="Aigul K."),
            source=new.source,
            proposed_by="Olga N.",
            at=datetime(2025, 12, 1, tzinfo=UTC),
        )
        town = Town(owner)
        await town.home("1", {"2026-01-01T00:00+05:00": 0, "2026-02-01T00:00+05:00": 350_000})
        await town.terms("AC-1", "2026-01-01", tariff_code="home", social=True)

        await reconcile(
            store=BillingStore(pool),
            period=Period.month(2026, 1),
            at=datetime(2026, 2, 2, tzinfo=UTC),
            zone=ZONE,
        )

        bill = await BillingStore(pool).bill("AC-1", "2026-01")
        assert bill is not None
        assert [(line.volume_dm3, line.net_minor, line.vat_minor) for line in bill.lines] == [
            (200_000, 128_098, 20_496),
            (100_000, 76_859, 12_297),
            (50_000, 48_037, 7_686),
        ]
        assert [
            (
                charge.kind.value,
                charge.from_day,
                charge.quantity,
                charge.net_minor,
                charge.vat_minor,
            )
            for charge in bill.charges
        ] == [
            ("discount", date(2026, 1, 1), 90_000, -14_411, -2_306),
            ("standing", date(2026, 1, 1), 31, 15_000, 2_400),
        ]
        assert (bill.net_minor, bill.vat_minor, bill.total_minor) == (253_583, 40_573, 294_156)
        for sum_told in ("**2941.56**", "**2535.83**", "**405.73**"):
            assert sum_told in text
