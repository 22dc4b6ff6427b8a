"""The reconciliation with the bank as processes run it: statements in, three sides compared."""

import asyncio
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from app import statement_folder
from app.run import loop
from app.wiring import Bank, House
from billing.bank_recon import import_statement, reconcile_bank
from billing.follow import follow
from billing.io.debits import Debits
from billing.io.recon import ReconBooks, StatementDiffersError
from billing.iso.camt053 import read
from billing.iso.document import FileError
from billing.period import local_day, midnight
from billing.recover import recover

log = structlog.get_logger()

# The bank's news that is read first; more comes with the next round of collecting.
NEWS: Final = 500
# Far more than a bank takes back in a day; the rest comes with the next run.
RECOVERED: Final = 1_000
# Asks whether today's reconciliation is due, or a statement has come.
RECON_EVERY: Final = timedelta(minutes=10)
# Banks write the statement of a day in the night after it.
FROM_HOUR: Final = timedelta(hours=6)


async def recon_at(house: House, client: Bank, at: datetime) -> dict[str, Any]:
    """Compare the three sides now and return the counts.

    The bank's news is read first, so that what it told us in between is no break.
    """
    debits = Debits(house.pool, house.settings.bill_policy)
    await follow(store=debits, bank=client, at=at, limit=NEWS)
    counts = await reconcile_bank(
        store=ReconBooks(pool=house.pool),
        debits=debits,
        bank=client,
        at=at,
        zone=house.settings.zone,
    )
    recovered = await recover(store=debits, at=at, limit=RECOVERED)
    return {
        "recon": "open" if counts.breaks_open else "ok",
        **asdict(counts),
        "recovered": recovered,
    }


async def statements_of(house: House, files: list[Path], at: datetime) -> dict[str, Any]:
    """Take in files of statements where they lie; return how many lines were new, file by file.

    Raises:
        FileError: a file cannot be believed; those before it were taken in.
        ValueError: a file cannot be read.
        StatementDiffersError: a line is kept already with another amount.
    """
    books = ReconBooks(pool=house.pool)
    done: dict[str, Any] = {}
    for file in files:
        try:
            data = await asyncio.to_thread(statement_folder.content, file)
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {error.strerror}") from None
        statements = read(data)
        done[file.name] = await import_statement(store=books, statements=statements, at=at)
    return done


async def statements_in(house: House, folder: Path, at: datetime) -> int:
    """Take in what waits in the folder of statements; return how many files were taken."""
    books = ReconBooks(pool=house.pool)
    taken = 0
    for file in await asyncio.to_thread(statement_folder.waiting, folder):
        found = await asyncio.to_thread(statement_folder.look, file)
        if found.statements is None:
            continue
        try:
            await import_statement(store=books, statements=found.statements, at=at)
        except StatementDiffersError as error:
            await asyncio.to_thread(statement_folder.refuse, file, f"differs: {error}")
            continue
        except FileError as error:
            await asyncio.to_thread(statement_folder.refuse, file, str(error))
            continue
        await asyncio.to_thread(statement_folder.take, file)
        taken += 1
    return taken


async def recon_due(house: House, client: Bank, at: datetime) -> dict[str, Any]:
    """Take statements in, and reconcile once a day and whenever one has come."""
    if house.settings.parallel_run == "on":
        return {}
    if house.settings.statement_folder is not None:
        await statements_in(house, house.settings.statement_folder, at)
    zone = house.settings.zone
    since = midnight(local_day(at, zone), zone) + FROM_HOUR
    if at < since or not await ReconBooks(pool=house.pool).due(since=since):
        return {}
    return await recon_at(house, client, at)


async def recon_loop(house: House, client: Bank, stopping: asyncio.Event) -> None:
    """Reconcile, day by day."""

    async def step(at: datetime) -> None:
        await recon_due(house, client, at)

    await loop(step, name="recon", every=RECON_EVERY, clock=house.clock, stopping=stopping)
