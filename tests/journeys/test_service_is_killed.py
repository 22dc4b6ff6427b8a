"""The service dies twenty times while telegrams flow, bills are issued and debits leave.

Nothing here shares code with the service: the meters' own record, the receipts as a stranger heard
them and the bank's own books say what should be there.
"""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import aiomqtt
import asyncpg
import pytest

from billing.collect import collect
from billing.io.bank import BankClient
from billing.io.debits import Debits
from billing.io.store import BillingStore
from billing.period import Period
from billing.reconcile import reconcile
from tests.serving import ROOT, Serve, command, environment

METERS, DAYS, KILLS, LINKED = 300, 100, 20, 30
TELEGRAMS = METERS * DAYS
START = datetime(2025, 11, 1, tzinfo=ZoneInfo("Asia/Almaty"))
NOW = datetime(2026, 2, 10, 6, tzinfo=UTC)
STEP = timedelta(hours=8)
MONTHS = ("2025-11", "2025-12", "2026-01")
BOUNDS = [datetime(y, m, 1, tzinfo=ZoneInfo("Asia/Almaty")) for y, m in
          ((2025, 11), (2025, 12), (2026, 1), (2026, 2))]  # fmt: skip


class Conductor:
    """The one clock that the service and the bank go by."""

    def __init__(self, path: Path, bank: Any) -> None:
        self.path, self.bank, self.now = path, bank, NOW
        path.write_text(NOW.isoformat())

    async def advance(self, by: timedelta) -> None:
        """Move both clocks on."""
        self.now += by
        draft = self.path.with_suffix(".draft")
        draft.write_text(self.now.isoformat())
        draft.replace(self.path)
        await self.bank.advance(self.now)


class Receipts:
    """A stranger who hears every receipt."""

    def __init__(self) -> None:
        self.stored: set[tuple[str, int]] = set()
        self.other: list[dict[str, Any]] = []
        self._more = asyncio.Condition()

    async def listen(self, client: aiomqtt.Client) -> None:
        """Note every receipt until cancelled."""
        async for message in client.messages:
            said = json.loads(bytes(message.payload))
            async with self._more:
                for receipt in said["receipts"]:
                    if receipt["result"] in {"stored", "repeated"}:
                        self.stored.add((said["meter"], receipt["counter"]))
                    else:
                        self.other.append(receipt)
                self._more.notify_all()

    async def reach(self, count: int) -> None:
        """Wait until so many telegrams have a receipt."""
        async with self._more:
            await self._more.wait_for(lambda: len(self.stored) >= count)


@asynccontextmanager
async def heard(port: int) -> AsyncIterator[Receipts]:
    receipts = Receipts()
    async with aiomqtt.Client("127.0.0.1", port, identifier="stranger") as client:
        await client.subscribe("gas/v1/+/+/down/receipt", qos=1)
        task = asyncio.create_task(receipts.listen(client))
        yield receipts
        task.cancel()
        await asyncio.wait({task})


async def register(owner: asyncpg.Connection, plates: list[dict[str, Any]]) -> None:
    await owner.execute(
        "INSERT INTO tariff VALUES ('home', '2025-01-01', NULL, 640490, 'KZT', 'order 1')"
    )
    await owner.executemany(
        "INSERT INTO meter VALUES ($1, $2, $3, $4, $5, $6)",
        [(p["meter_id"], p["dial_dm3"], p["step_dm3"], p["qmax_dm3_h"], p["compensated"], START)
         for p in plates],
    )  # fmt: skip
    await owner.executemany(
        "INSERT INTO account VALUES ($1, 'home', 'KZT', $2)",
        [(p["meter_id"].replace("AQ", "A"), START) for p in plates],
    )
    await owner.executemany(
        "INSERT INTO installation VALUES ($1, $2, $3, 'P-1', $4)",
        [(p["meter_id"], START, p["meter_id"].replace("AQ", "A"), p["opening_dm3"])
         for p in plates],
    )  # fmt: skip


async def link(url: str, operator: str, bank: Any, account_id: str) -> None:
    """Link a bank account as a resident would: start, say yes on the bank's page, come back."""
    caps = {"payment_minor_max": 10_000_000, "month_minor_max": 90_000_000}
    account = f"{url}/v1/accounts/{account_id}"
    async with aiohttp.ClientSession() as session:
        async with session.post(
            f"{account}/tokens", json={"label": "test"}, headers=bearer(operator)
        ) as answer:
            token = (await answer.json())["token"]
        async with session.post(f"{account}/mandates", json=caps, headers=bearer(token)) as answer:
            started = await answer.json()
        back = await bank.approve(started["authorisation_url"])
        async with session.get(back) as answer:
            assert answer.ok


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def record_of(truth: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in truth.read_text(encoding="utf-8").splitlines()]


def intents(books: dict[str, Any]) -> list[str]:
    taken = {"confirmed", "paid_out"}
    return [
        payment["metadata"]["intent"].rsplit(":", 1)[0]
        for payment in books["payments"]
        if payment["status"] in taken
    ]


@pytest.mark.slow
@pytest.mark.timeout(420)
async def test_service_is_killed(
    database_url: str,
    owner: asyncpg.Connection,
    pool: asyncpg.Pool,
    own_mosquitto: Any,
    start_bank: Any,
    tmp_path: Path,
) -> None:
    """No receipt was a lie, no telegram is missing, no bill and no debit is there twice."""
    bank = await start_bank(now=NOW)
    conductor = Conductor(tmp_path / "clock", bank)
    env = environment(
        database_url=database_url,
        mqtt_url=own_mosquitto.url,
        state=tmp_path / "state",
        AQKOL_BANK_URL=bank.url,
        AQKOL_BANK_TOKEN=bank.token,
        AQKOL_CLOCK_FILE=str(conductor.path),
        # So many lost answers would stop the run until two people have looked; nobody is here.
        AQKOL_RUN_LIMITS="unknown=99,counted=999999",
    )
    truth = tmp_path / "truth.jsonl"
    fleet_words = [
        sys.executable, "-m", "simulators", "fleet", "--count", str(METERS), "--seed", "20",
        "--start", START.isoformat(), "-p", str(own_mosquitto.port),
    ]  # fmt: skip
    asked = await asyncio.create_subprocess_exec(
        *fleet_words, "--registry", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asked.communicate()
    await register(owner, json.loads(said)["meters"])
    chance = random.Random(20)  # noqa: S311 - it need not be secret, only the same each time
    thresholds = sorted(chance.sample(range(100, TELEGRAMS - 2000), KILLS))

    served = await Serve.start(env, "--migrate")
    operator = await command(env, "token", "operator")
    for number in range(1, LINKED + 1):
        await link(served.url, operator, bank, f"A-{number:06d}")
    async with heard(own_mosquitto.port) as receipts:
        fleet = await asyncio.create_subprocess_exec(
            *fleet_words, "--limit", str(TELEGRAMS), "-I", "0", "--truth", str(truth),
            "--window", "500", "--json", cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        for threshold in thresholds:
            await receipts.reach(threshold)
            await served.kill()
            promised = set(receipts.stored)
            kept = await owner.fetch("SELECT meter_id, counter FROM telegram")
            assert promised - {(row["meter_id"], row["counter"]) for row in kept} == set()
            await bank.fault("answer_lost", "payments.create", times=1)
            await conductor.advance(STEP)
            served = await Serve.start(env)
        await receipts.reach(TELEGRAMS)
        said, _ = await fleet.communicate()
        assert fleet.returncode == 0, said
        assert receipts.other == []
    await bank.heal()
    assert await served.stop() == 0
    await come_to_an_end(conductor, pool)
    await check_meters(owner, truth)
    await check_money(owner, truth, await bank.books())


async def come_to_an_end(conductor: Conductor, pool: asyncpg.Pool) -> None:
    """Let days pass until the bank has paid out the last debit."""
    bank = conductor.bank
    async with BankClient.open(url=bank.url, token=bank.token) as client:
        for _ in range(25):
            await conductor.advance(timedelta(days=1))
            for month in MONTHS:
                await reconcile(
                    store=BillingStore(pool), period=Period.parse(month), at=conductor.now,
                    zone="Asia/Almaty",
                )  # fmt: skip
            await collect(
                store=Debits(pool), bank=client, at=conductor.now, zone="Asia/Almaty", limit=500
            )


async def check_meters(owner: asyncpg.Connection, truth: Path) -> None:
    lines = record_of(truth)
    measured = {
        (line["meter"], datetime.fromisoformat(line["at"])): line["register_dm3"] for line in lines
    }
    rows = await owner.fetch("SELECT meter_id, read_at, register_dm3, verdict FROM reading")
    assert len(measured) == TELEGRAMS
    assert {(row["meter_id"], row["read_at"]): row["register_dm3"] for row in rows} == measured
    assert {row["verdict"] for row in rows} == {"billable"}
    assert await owner.fetchval("SELECT count(*) FROM telegram") == TELEGRAMS


async def check_money(owner: asyncpg.Connection, truth: Path, books: dict[str, Any]) -> None:
    totals = {}
    for line in record_of(truth):
        totals[line["meter"].replace("AQ", "A"), datetime.fromisoformat(line["at"])] = line
    bills = await owner.fetch("SELECT * FROM bill WHERE bill_no = ANY ($1)", list(MONTHS))
    assert len(bills) == METERS * len(MONTHS)
    for bill in bills:
        month = MONTHS.index(bill["bill_no"])
        before, after = (
            totals.get((bill["account_id"], bound), {}).get("total_dm3")
            for bound in BOUNDS[month : month + 2]
        )
        if before is not None:
            assert bill["volume_dm3"] == after - before
    taken = intents(books)
    assert len(taken) == len(set(taken)), "a bill was debited twice"
    wanted = {
        f"debit:v1:A-{number:06d}:{month}" for number in range(1, LINKED + 1) for month in MONTHS
    }
    assert set(taken) == wanted
    owed = await owner.fetchval(
        "SELECT count(*) FROM debit WHERE state NOT IN ('confirmed', 'settled')"
    )
    assert owed == 0
