"""``aqkol bench debits``: how fast debits that are due are recorded and given to the bank.

The bank is the simulated one, a process of its own. The ceiling is the same bank answering the same
orders, byte for byte but for their intents, to a bare client with as many connections, in the same
run.
Afterwards every payment at the bank is held against the table of debits.
"""

import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import asyncpg

import sql
from app.bench import children
from app.bench.children import BenchError
from app.bench.collecting import TOKEN
from app.bench.measure import middle, ratio
from app.bench.stage import database
from billing.io.bank import API_VERSION
from billing.send import WORKERS

_Q: Final = sql.queries("owner/bench_debits")

# The bill is a month old, the resident was told ten days before, and the day has come.
ISSUED_AT: Final = datetime(2026, 2, 1, tzinfo=UTC)
NOTICED_AT: Final = datetime(2026, 2, 6, tzinfo=UTC)
DUE_ON: Final = date(2026, 2, 20)
AT: Final = datetime(2026, 2, 17, 9, tzinfo=UTC)
# The example account of the SWIFT registry; it belongs to nobody.
IBAN: Final = "KZ86125KZT5004100100"
# Orders of the bare client carry this in place of an intent, so that nobody takes them for ours.
BARE: Final = "bench"
PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round measured; rates are debits per second, of ours and of the bare client."""

    debits_per_s: float
    ceiling_per_s: float
    cpu_s: float
    rss_mb: float
    double: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """A running bank, and how to speak to it."""

    url: str
    token: str
    session: aiohttp.ClientSession

    async def order(self, path: str, body: bytes, key: str) -> bytes:
        """Give the bank one order and return its answer.

        Raises:
            BenchError: it does not make what was ordered.
        """
        headers = {**self._headers, "Idempotency-Key": key, "Content-Type": "application/json"}
        async with self.session.post(self.url + path, data=body, headers=headers) as answer:
            content = await answer.read()
            if answer.status != 201:  # noqa: PLR2004 - created
                raise BenchError(f"The bank answered {answer.status} to {path}.")
            return content

    async def make(self, kind: str, fields: Mapping[str, Any], key: str) -> str:
        """Make one resource and return its name."""
        made = json.loads(await self.order(f"/{kind}", json.dumps({kind: fields}).encode(), key))
        return str(made[kind]["id"])

    async def payments(self) -> list[dict[str, Any]]:
        """Read every payment there is."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            query = f"?limit={PAGE}" + (f"&after={after}" if after else "")
            async with self.session.get(
                f"{self.url}/payments{query}", headers=self._headers
            ) as answer:
                page = await answer.json()
            found += page["payments"]
            after = page["meta"]["cursors"]["after"]
            if not after:
                return found

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "GoCardless-Version": API_VERSION}


async def bench_debits(*, debits: int, rounds: int) -> dict[str, Any]:
    """Collect so many debits on a server and a bank of their own, each round afresh.

    Raises:
        BenchError: the bank or the collector does not do its part.
        ServerError: no server can be started.
    """
    return report([await _round(debits) for _ in range(rounds)], debits=debits)


def report(rounds: Sequence[Round], *, debits: int) -> dict[str, Any]:
    """Return one result from its rounds: medians, and ratios round by round."""
    ratios = [ratio(found.debits_per_s, found.ceiling_per_s) for found in rounds]
    return {
        "debits": debits,
        "debits_per_s": middle([found.debits_per_s for found in rounds]),
        "ceiling_per_s": middle([found.ceiling_per_s for found in rounds]),
        "ratio_to_ceiling": round(median(ratios), 3),
        "double_debits": sum(found.double for found in rounds),
        "lost_debits": sum(found.lost for found in rounds),
        "cpu_s": round(median([found.cpu_s for found in rounds]), 3),
        "rss_mb": max(found.rss_mb for found in rounds),
        "rounds": len(rounds),
    }


def shown(found: Mapping[str, Any]) -> list[str]:
    """Return the lines people read."""
    rate = (
        f"{found['debits_per_s']} debits/s recorded, sent and accepted;"
        f" the bank alone {found['ceiling_per_s']}/s ({found['ratio_to_ceiling']} of it)"
    )
    rest = (
        f"double {found['double_debits']}, lost {found['lost_debits']};"
        f" {found['cpu_s']} s of our processor time, {found['rss_mb']:.0f} MB"
    )
    return [rate, rest]


def faults(
    payments: Iterable[Mapping[str, Any]], debits: Iterable[Mapping[str, Any]]
) -> tuple[int, int]:
    """Count double and lost debits: payments too many, and debits whose payment is not there.

    A payment counts as too many when a debit has another one, or when nobody ordered it.
    """
    names = {row["idempotency_key"]: row for row in debits}
    ours = [one for one in payments if one["metadata"].get("intent") != BARE]
    made = Counter(one["metadata"].get("intent") for one in ours)
    double = sum(count - 1 for count in made.values())
    double += sum(1 for intent in made if intent not in names)
    true = {
        one["metadata"].get("intent")
        for one in ours
        if (row := names.get(one["metadata"].get("intent"))) is not None
        and (one["id"], one["amount"]) == (row["bank_payment_id"], row["amount_minor"])
    }
    return double, sum(1 for key in names if key not in true)


async def _round(debits: int) -> Round:
    async with database() as (database_url, owner), _bank() as books:
        mandates = await _mandates(books, debits)
        amounts = [100_000 + number * 7_919 % 900_000 for number in range(debits)]
        ceiling_per_s = await _bare(books, mandates, amounts)
        await _Q.build_debits(
            owner,
            account_ids=[f"A-{number:07d}" for number in range(debits)],
            bank_mandate_ids=mandates,
            amounts_minor=amounts,
            due_on=DUE_ON,
            issued_at=ISSUED_AT,
            noticed_at=NOTICED_AT,
        )
        await _Q.tidy(owner)
        done = await _collected(database_url, books)
        double, lost = faults(await books.payments(), [row async for row in _Q.list_debits(owner)])
        await _check_ledger(owner, sum(amounts))
    return Round(
        debits_per_s=round(debits / done["seconds"], 1),
        ceiling_per_s=ceiling_per_s,
        cpu_s=done["cpu_s"],
        rss_mb=done["rss_mb"],
        double=double,
        lost=lost,
    )


async def _check_ledger(owner: asyncpg.Connection, amount_minor: int) -> None:
    pending_minor = await _Q.pending_minor(owner)
    if pending_minor != amount_minor:
        raise BenchError(f"The ledger has {pending_minor} on its way, not {amount_minor}.")


async def _collected(database_url: str, books: Books) -> dict[str, Any]:
    """Let a process of the service's own collect everything, and return what it said."""
    command = (sys.executable, "-m", "app.bench.collecting", database_url, books.url)
    async with children.child(
        *command, AT.isoformat(), environment={TOKEN: books.token}
    ) as process:
        return await children.last_word(process)


async def _bare(books: Books, mandates: Sequence[str], amounts: Sequence[int]) -> float:
    """Return the orders per second that the bank answers to somebody who only asks."""
    orders = iter(
        [
            (number, _order(mandate, amount))
            for number, (mandate, amount) in enumerate(zip(mandates, amounts, strict=True))
        ]
    )

    async def work() -> None:
        for number, body in orders:
            await books.order("/payments", body, f"{BARE}:{number}")

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
    return round(len(mandates) / (time.perf_counter() - begun), 1)


def _order(bank_mandate_id: str, amount_minor: int) -> bytes:
    order = {
        "amount": amount_minor,
        "charge_date": DUE_ON.isoformat(),
        "currency": "KZT",
        "description": "Gas 2026-01",
        "links": {"mandate": bank_mandate_id},
        "metadata": {"intent": BARE},
        "retry_if_possible": False,
    }
    return json.dumps({"payments": order}, sort_keys=True, separators=(",", ":")).encode()


async def _mandates(books: Books, count: int) -> list[str]:
    """Let so many customers open an account and agree, and return their mandates."""
    found = [""] * count
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            found[number] = await _mandate(books, number)

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
    return found


async def _mandate(books: Books, number: int) -> str:
    customer = await books.make(
        "customers",
        {"given_name": "Aigul", "family_name": f"Nurlanova {number}"},
        f"customer:{number}",
    )
    account = await books.make(
        "customer_bank_accounts",
        {"iban": IBAN, "account_holder_name": "A. Nurlanova", "links": {"customer": customer}},
        f"account:{number}",
    )
    links = {"customer_bank_account": account}
    return await books.make(
        "mandates", {"scheme": "kz_direct", "links": links}, f"mandate:{number}"
    )


@asynccontextmanager
async def _bank() -> AsyncIterator[Books]:
    """Start the simulated bank, and end it and its books."""
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="aqkol-bench-") as folder:
        state = Path(folder) / "bank.sqlite"
        command = [sys.executable, "-m", "simulators", "bank", "--state", str(state)]
        command += [f"--token={token}", "--now", AT.isoformat()]
        async with children.child(*command) as process, aiohttp.ClientSession() as session:
            assert process.stdout is not None, "the pipe is ours"
            line = await asyncio.wait_for(process.stdout.readline(), children.PATIENCE_S)
            if not line:
                raise BenchError("The bank did not start.")
            yield Books(url=json.loads(line)["url"], token=token, session=session)
