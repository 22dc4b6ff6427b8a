"""The benchmark of the billing run: its arithmetic, its town, and that a small one is all right."""

import json
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from app.bench.bill_loop import bill_one
from app.bench.bill_town import BillTown
from app.bench.billing import Round, report, wrongs
from app.bench.month import run_month

ROOT = Path(__file__).resolve().parents[2]


def one_round(seconds: float, *, ceiling: float, loop: float = 10.0, inserted: int = 0) -> Round:
    return Round(
        seconds=seconds,
        loop_per_s=loop,
        ceiling_per_s=ceiling,
        copy_s=4.0,
        late_s=seconds / 4,
        rss_mb=50.0 + seconds,
        rerun_inserted=inserted,
        wrong=0,
    )


@pytest.fixture
def town(database_url: str, owner: asyncpg.Connection) -> BillTown:
    return BillTown(database_url=database_url, connection=owner, meters=23)


class TestReport:
    """The report of a benchmark ..."""

    def test_compares_each_round_with_its_own_ceiling(self) -> None:
        """0.5, 0.8 and 0.2: the median of the ratios, not the ratio of the medians."""
        rounds = [
            one_round(10.0, ceiling=200.0),
            one_round(2.0, ceiling=625.0, loop=5.0, inserted=3),
            one_round(5.0, ceiling=1000.0),
        ]

        found = report(rounds, accounts=1000, corrected=100)

        assert (found["seconds"], found["bills_per_s"]) == (5.0, 200.0)
        assert (found["ceiling_bills_per_s"], found["ratio_to_ceiling"]) == (625.0, 0.5)
        assert (found["loop_bills_per_s"], found["ratio_to_loop"]) == (10.0, 20.0)
        assert (found["rss_mb"], found["copy_1m_rows_s"]) == (60.0, 4.0)
        assert (found["accounts"], found["rerun_inserted"]) == (1000, 3)
        assert (found["late_accounts"], found["late_seconds"]) == (100, 1.25)
        assert found["late_per_s"] == 80.0


class TestTown:
    """The town of a benchmark ..."""

    async def test_gets_a_right_bill_for_everybody(self, town: BillTown) -> None:
        """A run that were fast because it leaves somebody out would be no measurement."""
        await town.build()

        done = await run_month(town.database_url)
        held = await town.counted()

        assert (done["measured"], done["billed"], done["held"]) == (23, 23, 0)
        # Volumes grow by 7 919 from 10 000 on: 23 times 10 000, and 253 times 7 919.
        assert held["volume_dm3"] == 230_000 + 253 * 7_919
        assert wrongs(town, held) == 0
        assert wrongs(town, held | {"bills": 22, "moved_minor": 0}) == 2

    async def test_gets_the_same_bills_from_the_loop(
        self, town: BillTown, owner: asyncpg.Connection
    ) -> None:
        """A loop that did less would be an easy one to beat."""
        tables = {
            "usage": "meter_id, from_at",
            "bill": "account_id, bill_no",
            "bill_line": "account_id, bill_no, line_no",
            "transfer": "account_id, transfer_id",
        }
        rows = {table: f"SELECT * FROM {table} ORDER BY {key}" for table, key in tables.items()}
        await town.build()
        for number in range(23):
            await bill_one(owner, f"A-{number:07d}")
        looped = {table: await owner.fetch(query) for table, query in rows.items()}
        await town.fresh()

        await run_month(town.database_url)

        for table, query in rows.items():
            assert await owner.fetch(query) == looped[table]


@pytest.mark.slow
class TestBenchBilling:
    """A small benchmark ..."""

    @pytest.mark.timeout(180)
    def test_is_right_and_inserts_nothing_twice(self) -> None:
        """Its speeds depend on the machine; what it counts does not."""
        command = [sys.executable, "-m", "app", "bench", "billing", "--json"]

        done = subprocess.run(
            [*command, "--meters", "300", "--late", "0.1"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=170,
        )

        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads(done.stdout)
        assert (found["accounts"], found["rerun_inserted"], found["wrong"]) == (300, 0, 0)
        assert found["bills_per_s"] == pytest.approx(300 / found["seconds"], rel=0.01)
        assert min(found["ratio_to_ceiling"], found["ratio_to_loop"]) > 0
        assert found["copy_1m_rows_s"] > 0
        assert (found["late_accounts"], found["late_seconds"] > 0) == (30, True)
        assert 0 < found["rss_mb"] < 200
