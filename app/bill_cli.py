"""``aqkol bill``: bills as documents, for people at the machine."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app.command import (
    DONE,
    MISSING,
    UNUSABLE,
    Json,
    State,
    checked,
    do,
    in_house,
    leave,
    settings_of,
)
from app.wiring import House
from billing.bill import revision_of
from billing.io import press
from billing.io.accounts import AccountUnknownError
from billing.io.papers import Papers
from billing.io.past import InstantAheadError, Pasts
from billing.io.records import BillUnknownError, Records
from billing.io.wire_past import AsOfQuery, as_of_shown
from billing.paper.document import Document, document
from billing.paper.plain import text
from billing.paper.words import Language, LanguageUnknownError, language_of
from billing.period import Period
from billing.record import Json as Record
from billing.record import canonical

bill = typer.Typer(help="Show bills, and what they were made of.", no_args_is_help=True)

# So many bills are read at once; their PDFs are written before the next are read.
PAGE: Final = 256

AccountName = Annotated[str, typer.Argument(help="The account's id, such as A-000123.")]
BillName = Annotated[str, typer.Argument(help="The bill's number, such as 2026-01.")]
InLanguage = Annotated[str, typer.Option("--language", help="kk, ru or en.")]
Addressed = Annotated[
    bool, typer.Option("--addressed", help="With name and address: for the resident only.")
]
Out = Annotated[Path, typer.Option("--out", help="The file to write.", dir_okay=False)]


@bill.command()
def record(account_id: AccountName, bill_no: BillName, *, state: State = None) -> None:
    """Print the record of a bill (aqkol-bill/1): everything it was made of, as one line of JSON."""

    async def work(house: House) -> bytes:
        return canonical(await _records(house).record(account_id, bill_no)) + b"\n"

    _print(work, state=state)


@bill.command()
def show(
    account_id: AccountName,
    bill_no: BillName,
    *,
    language: InLanguage = "en",
    state: State = None,
) -> None:
    """Print a bill as plain text, without name and address."""
    wanted = _language(language)

    async def work(house: House) -> bytes:
        made = await _document(house, account_id, bill_no, wanted, addressed=False)
        return text(made).encode()

    _print(work, state=state)


@bill.command()
def pdf(  # noqa: PLR0913 - options
    account_id: AccountName,
    bill_no: BillName,
    *,
    out: Out,
    language: InLanguage = "kk",
    addressed: Addressed = False,
    state: State = None,
) -> None:
    """Write a bill as PDF; with --addressed it names the resident, and is theirs only."""
    wanted = _language(language)

    async def work(house: House) -> bytes:
        made = await _document(house, account_id, bill_no, wanted, addressed=addressed)
        content = await asyncio.to_thread(press.pdf, made)
        try:
            out.write_bytes(content)
        except OSError as error:
            raise leave(f"{out} cannot be written: {error.strerror}.", MISSING) from None
        return b""

    _print(work, state=state)


@bill.command("print")
def print_all(  # noqa: PLR0913 - options
    *,
    period: Annotated[str, typer.Option("--period", help="One month, such as 2026-01.")],
    folder: Annotated[Path, typer.Option("--out", help="The folder to write to.", file_okay=False)],
    language: InLanguage = "kk",
    addressed: Addressed = False,
    processes: Annotated[int, typer.Option(min=1, max=64, help="So many print at once.")] = 1,
    state: State = None,
) -> None:
    """Write every bill of a month as PDF, each into a file of its own."""
    wanted = _language(language)
    try:
        start = Period.parse(period).start
        folder.mkdir(parents=True, exist_ok=True)
    except ValueError as error:
        raise leave(f"--period: {error}.", UNUSABLE) from None
    except OSError as error:
        raise leave(f"{folder} cannot be written: {error.strerror}.", MISSING) from None

    async def work(house: House) -> bytes:
        written = 0
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            async for page in _pages(house, start):
                around = await _papers(house).around(page, addressed=addressed)
                jobs = [(*told, wanted) for told in around]
                await asyncio.to_thread(_write_all, jobs, pool, folder)
                written += len(jobs)
        return f"{written} bills written\n".encode()

    _print(work, state=state)


@bill.command("as-of")
def as_of(
    account_id: AccountName,
    period: Annotated[str, typer.Argument(help="One month, such as 2026-01.")],
    *,
    at: Annotated[str, typer.Option("--at", help="An instant, such as 2026-02-10T12:00:00+05:00.")],
    state: State = None,
    as_json: Json = False,
) -> None:
    """Show what a bill would have been with what was known by an instant; write nothing."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        asked = checked(lambda: AsOfQuery.model_validate({"at": at}), "--at")
        found = await Pasts(pool=house.pool, zone=house.settings.zone).as_of(
            account_id, Period.parse(period), at=asked.at, now=house.clock.now()
        )
        shown = as_of_shown(found).model_dump(mode="json")
        if not as_json:
            for name in ("lines", "charges", "registers"):
                shown[name] = {str(no): one for no, one in enumerate(shown[name], start=1)}
            shown["without"] = ", ".join(shown["without"])
        return shown

    do(
        work,
        mistakes=(ValueError, AccountUnknownError, InstantAheadError),
        state=state,
        as_json=as_json,
    )


async def _pages(house: House, start: date) -> AsyncIterator[list[Record]]:
    after = ("", 0)
    while page := await _records(house).page(start, after=after, chunk=PAGE):
        yield page
        bill_no = page[-1]["bill_no"]
        after = (page[-1]["account_id"], revision_of(bill_no))


def _write_all(jobs: Sequence[press.Job], pool: Executor, folder: Path) -> None:
    for (told, _, language), content in zip(jobs, press.pdfs(jobs, pool), strict=True):
        name = f"{told['account_id']}_{told['bill_no']}_{language}.pdf"
        (folder / name).write_bytes(content)


def _language(name: str) -> Language:
    try:
        return language_of(name)
    except LanguageUnknownError as error:
        raise leave(f"{error}.", UNUSABLE) from None


def _records(house: House) -> Records:
    return Records(pool=house.pool, zone=house.settings.zone)


def _papers(house: House) -> Papers:
    settings = house.settings
    return Papers(pool=house.pool, zone=settings.zone, payee=settings.payee)


async def _document(
    house: House, account_id: str, bill_no: str, language: Language, *, addressed: bool
) -> Document:
    found = await _records(house).record(account_id, bill_no)
    ((known, around),) = await _papers(house).around([found], addressed=addressed)
    return document(known, around, language)


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
