"""``aqkol bill``: bills as documents, for people at the machine."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from app.command import DONE, UNUSABLE, State, in_house, leave, settings_of
from app.wiring import House
from billing.io.records import BillUnknownError, Records
from billing.record import canonical

bill = typer.Typer(help="Show bills, and what they were made of.", no_args_is_help=True)

AccountName = Annotated[str, typer.Argument(help="The account's id, such as A-000123.")]
BillName = Annotated[str, typer.Argument(help="The bill's number, such as 2026-01.")]


@bill.callback()
def _group() -> None:
    """Show bills, and what they were made of."""


@bill.command()
def record(account_id: AccountName, bill_no: BillName, *, state: State = None) -> None:
    """Print the record of a bill (aqkol-bill/1): everything it was made of, as one line of JSON."""

    async def work(house: House) -> bytes:
        return canonical(await _records(house).record(account_id, bill_no)) + b"\n"

    _print(work, state=state)


def _records(house: House) -> Records:
    return Records(pool=house.pool, zone=house.settings.zone)


def _print(work: Callable[[House], Awaitable[bytes]], *, state: Path | None) -> None:
    """Open the house and write the bytes that the work returns; nothing else goes to the output."""

    async def main(house: House, _stopping: asyncio.Event) -> int:
        try:
            content = await work(house)
        except BillUnknownError:
            raise leave("the account has no bill of this number.", UNUSABLE) from None
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return DONE

    in_house(settings_of(state=state), main)
