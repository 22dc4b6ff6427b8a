"""Service, bank and database die by turns while debits go out to a bank that fails in every way.

The service collects in a process of its own (``collector.py``); the bank and PostgreSQL are real
processes too, and each is ended with SIGKILL in the middle of its work. Five of a hundred requests
meet each fault. The bank's own books and the rows say what became of the money.

``KILLED_DEBITS=20000`` lets it run at the size of a town; a suite runs sixty.
"""

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import asyncpg
import pytest

import sql
from app.migrate import migrate
from app.servers.postgres import DATABASE, Postgres
from tests.serving import ROOT, environment

DEBITS = int(os.environ.get("KILLED_DEBITS", "60"))
# How often each of the three dies while debits go out, and how many homes share a mandate's bank.
KILLS = 3 if DEBITS < 1_000 else 20
ISSUED_AT = datetime(2026, 2, 1, tzinfo=UTC)
NOTICED_AT = datetime(2026, 2, 6, tzinfo=UTC)
DUE_ON = date(2026, 2, 20)
NOW = datetime(2026, 2, 17, 3, tzinfo=UTC)
# The clock moves on in such steps, five a second. A suite's are longer than the first waits between
# two looks at an unknown one; a town's are so short that its orders are out before their day.
STEP = timedelta(minutes=10) if DEBITS < 1_000 else timedelta(seconds=30)
PERCENT = 5
# What may befall an order or a question. "key_forgotten" is left out: a bank that forgets its own
# keys takes twice whatever anybody does; the simulation shows that it is found and shown.
ORDERS = (
    "answer_lost", "bad_gateway", "conflict_elsewhere", "delivered_twice", "error_after",
    "error_before", "extra_field", "garbled", "missing_optional", "new_enum", "rate_limit",
    "rate_limit_bare", "reset", "silent_after", "silent_before", "slow_drip", "unavailable",
)  # fmt: skip
QUESTIONS = (
    "answer_lost", "bad_gateway", "error_before", "extra_field", "garbled", "page_shift",
    "rate_limit", "reset", "stale_read", "unavailable",
)  # fmt: skip
# A person has to look at these, so that few are enough.
ALARMS = ("amount_wrong", "same_id", "unauthorized", "forbidden")
SHORT_S = {"silent_after": 0.3, "silent_before": 0.3, "slow_drip": 0.2}
# Nothing more will happen to a debit in one of these by itself.
OVER = {
    "settled", "reconciled", "failed", "cancelled", "charged_back", "exhausted", "review",
}  # fmt: skip
TAKEN = {"confirmed", "paid_out"}
DAYS_MAX = 80

_Q = sql.queries("owner/bench_debits")


@dataclass(slots=True, kw_only=True)
class Town:
    """The three who die, and the one clock they go by."""

    server: Postgres
    bank: Any
    env: dict[str, str]
    clock: Path
    log: IO[bytes]
    now: datetime = NOW
    service: asyncio.subprocess.Process | None = None
    deaths: Counter[str] = field(default_factory=Counter)

    async def advance(self, by: timedelta) -> None:
        """Move every clock on."""
        self.now += by
        draft = self.clock.with_suffix(".draft")
        draft.write_text(self.now.isoformat())
        draft.replace(self.clock)
        await self.bank.advance(self.now)

    async def serve(self) -> None:
        """Start the service, or start it again."""
        self.service = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.journeys.collector", cwd=ROOT, env=self.env,
            stderr=self.log, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def kill_service(self) -> None:
        """End the service without a word, and start it again."""
        assert self.service is not None
        self.service.kill()
        await self.service.wait()
        self.deaths["service"] += 1
        await self.serve()

    async def kill_bank(self) -> None:
        """End the bank without a word; it finds its books, and the faults are switched on anew."""
        port = ["--port", str(urlsplit(self.bank.url).port)]
        await self.bank.kill()
        # Whoever asked the one that died finds the other at the same address.
        self.bank.arguments = [*self.bank.arguments, *port]
        await self.bank.start()
        self.deaths["bank"] += 1
        await self.spoil(seed=self.deaths["bank"])

    async def kill_database(self) -> None:
        """End the postmaster without a word, and start it on the same data."""
        dead = self.server._process
        assert dead is not None
        dead.kill()
        await asyncio.to_thread(dead.wait)
        await self.server.start()
        self.deaths["database"] += 1

    async def spoil(self, *, seed: int) -> None:
        """Let so many of a hundred requests meet each fault."""
        for operation, names in (
            ("payments.create", ORDERS), ("payments.get", QUESTIONS),
            ("payments.list", QUESTIONS), ("events.list", QUESTIONS),
        ):  # fmt: skip
            for number, name in enumerate(names):
                if name == "page_shift" and not operation.endswith(".list"):
                    continue
                bounds = {"seconds": SHORT_S[name]} if name in SHORT_S else {}
                await self.bank.fault(
                    name, operation, percent=PERCENT, seed=seed * 1000 + number, **bounds
                )
        for number, name in enumerate(ALARMS):
            await self.bank.fault(name, "payments.create", percent=0.5, seed=seed * 77 + number)

    async def states(self) -> Counter[str]:
        """Count the debits by state, through a connection of its own: the last one may be dead."""
        owner = await asyncpg.connect(self.server.url(DATABASE))
        try:
            rows = await owner.fetch("SELECT state, count(*) AS n FROM debit GROUP BY state")
        finally:
            await owner.close()
        return Counter({row["state"]: row["n"] for row in rows})


@asynccontextmanager
async def town(start_bank: Any, folder: Path) -> AsyncIterator[Town]:
    bank = await start_bank(now=NOW)
    server = Postgres(home=folder / "postgres")
    await server.start()
    clock = folder / "clock"
    clock.write_text(NOW.isoformat())
    env = environment(
        database_url=server.url(DATABASE), mqtt_url="mqtt://127.0.0.1:1", state=folder / "state",
        AQKOL_BANK_URL=bank.url, AQKOL_BANK_TOKEN=bank.token, AQKOL_CLOCK_FILE=str(clock),
        # A run in which half of all orders fail would be stopped, and should be; not here.
        AQKOL_RUN_LIMITS="total_low=1,failed=99,unknown=99,counted=999999,days=999",
    )  # fmt: skip
    log = (folder / "collect.log").open("ab")
    here = Town(server=server, bank=bank, env=env, clock=clock, log=log)
    try:
        yield here
    finally:
        if here.service is not None and here.service.returncode is None:
            here.service.kill()
            await here.service.wait()
        log.close()
        await server.stop()


async def settle(here: Town) -> None:
    """Give every home a mandate at the bank and a debit that it was told of in time."""
    gate = asyncio.Semaphore(16)

    async def one() -> str:
        async with gate:
            return str(await here.bank.mandate())

    mandates = await asyncio.gather(*(one() for _ in range(DEBITS)))
    owner = await asyncpg.connect(here.server.url(DATABASE))
    await migrate(owner)
    await _Q.build_debits(
        owner,
        account_ids=[f"A-{number:07d}" for number in range(DEBITS)],
        bank_mandate_ids=mandates,
        amounts_minor=[amount_of(number) for number in range(DEBITS)],
        due_on=DUE_ON,
        issued_at=ISSUED_AT,
        noticed_at=NOTICED_AT,
    )
    await owner.close()


def amount_of(number: int) -> int:
    """Return an amount that few homes share."""
    return 100_000 + number * 7_919 % 900_000


async def until(here: Town, done: Callable[[Counter[str]], bool], *, step: timedelta) -> None:
    """Let time pass until enough has happened; a bound keeps a stuck story from going on."""
    for _ in range(200 + DEBITS):
        if done(await here.states()):
            return
        await here.advance(step)
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.2)
    raise AssertionError(f"stuck with {await here.states()}")


@pytest.mark.slow
@pytest.mark.timeout(300 if DEBITS < 1_000 else 5_400)
async def test_debits_survive_kills(start_bank: Any, tmp_path: Path) -> None:
    """Nobody pays twice, no order is lost, the books agree, and nothing is left hanging."""
    chance = random.Random(5)  # noqa: S311 - it need not be secret, only the same each time
    async with town(start_bank, tmp_path) as here:
        await settle(here)
        await here.spoil(seed=99)
        await here.serve()
        killers: list[Callable[[], Awaitable[None]]] = [
            here.kill_service, here.kill_bank, here.kill_database,
        ] * KILLS  # fmt: skip
        chance.shuffle(killers)
        for number, kill in enumerate(killers, start=1):
            wanted = DEBITS * number // (len(killers) + 1)
            await until(here, lambda seen, n=wanted: begun(seen) >= n, step=STEP)
            await kill()
        await until(here, lambda seen: begun(seen) >= DEBITS, step=STEP)
        await here.bank.heal()
        for _ in range(DAYS_MAX):
            seen = await here.states()
            if not set(seen) - OVER:
                break
            await until_quiet(here)
            await here.advance(timedelta(days=1))
        assert here.deaths == {"service": KILLS, "bank": KILLS, "database": KILLS}
        await check(here)


def begun(seen: Counter[str]) -> int:
    """Count the debits that the bank has answered, or that a person looks at."""
    return sum(count for state, count in seen.items() if state not in {"noticed", "recorded"})


async def until_quiet(here: Town) -> None:
    """Wait until two looks in a row see the same; each look moves the clock a little."""
    before: Counter[str] | None = None
    for _ in range(20 + DEBITS // 20):
        seen = await here.states()
        if seen == before:
            return
        before = seen
        await here.advance(STEP)
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=1.0)


async def check(here: Town) -> None:
    books = await here.bank.books()
    owner = await asyncpg.connect(here.server.url(DATABASE))
    debits = {row["idempotency_key"]: row for row in await owner.fetch("SELECT * FROM debit")}
    states = Counter(row["state"] for row in debits.values())
    assert not set(states) - OVER, f"left hanging: {states}"

    payments = books["payments"]
    by_intent = Counter(payment["metadata"]["intent"] for payment in payments)
    assert [intent for intent, count in by_intent.items() if count > 1] == [], "ordered twice"
    assert set(by_intent) <= set(debits), "the bank has orders that we do not know"

    taken = [payment for payment in payments if payment["status"] in TAKEN]
    bills = Counter(payment["metadata"]["intent"].rsplit(":", 1)[0] for payment in taken)
    assert [bill for bill, count in bills.items() if count > 1] == [], "a bill was paid twice"
    for payment in taken:
        debit = debits[payment["metadata"]["intent"]]
        assert payment["amount"] == debit["amount_minor"]
        assert debit["state"] in {"settled", "reconciled", "review"}, dict(debit)
        if debit["state"] != "review":
            assert debit["bank_payment_id"] == payment["id"]
    settled = {key for key, row in debits.items() if row["state"] in {"settled", "reconciled"}}
    assert settled <= {payment["metadata"]["intent"] for payment in taken}, "believed, not taken"

    owed = {f"A-{number:07d}": amount_of(number) for number in range(DEBITS)}
    rows = await owner.fetch("SELECT * FROM transfer WHERE phase = 'posted'")
    for row in rows:
        sign = (row["debit_code"] == "receivable") - (row["credit_code"] == "receivable")
        if not row["transfer_id"].startswith("bill/"):
            owed[row["account_id"]] += sign * row["amount_minor"]
    paid_for = {row["account_id"] for key, row in debits.items() if key in settled}
    assert {name for name, minor in owed.items() if minor == 0} >= paid_for
    assert all(minor >= 0 for minor in owed.values()), "more was booked than was owed"
    reviewed = {row["account_id"] for row in debits.values() if row["state"] == "review"}
    bank_minor = sum(
        row["amount_minor"] * ((row["debit_code"] == "bank") - (row["credit_code"] == "bank"))
        for row in rows
        if row["account_id"] not in reviewed
    )
    assert bank_minor == sum(
        payment["amount"]
        for payment in taken
        if payment["metadata"]["intent"].split(":")[2] not in reviewed
    ), "the ledger and the bank do not agree"
    await owner.close()
