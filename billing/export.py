"""Write what leaves for others: the settlement centre's month, and the accountants' journal.

All of one export is read under one snapshot, page by page, and goes to a ``sink`` as it is read;
memory does not grow with the town. What does not add up to the ledger is no export: whoever holds
the sink throws away what it got when an error is raised.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol
from uuid import UUID

import structlog

from billing import cells, journal
from billing.chart import Chart
from billing.journal import Balances, Entry, Turnover
from billing.ledger import Account
from billing.payee import Payee
from billing.period import Period, local_day, midnight
from billing.reconcile import PeriodNotOverError
from billing.settlement import Named, Row, Service, Sheet, Sums

# A page is read while nothing is written, and some 2 MB large.
ACCOUNTS_PER_PAGE: Final = 1_000

_INSTANT: Final = timedelta(microseconds=1)

Sink = Callable[[bytes], object]

log = structlog.get_logger()


class Form(StrEnum):
    """How an export is written; a summary is the sums without the rows."""

    CSV = "csv"
    JSON = "json"
    SUMMARY = "summary"


class BadInstantError(ValueError):
    """An export speaks of an instant after its month and not in the future."""


class BadDaysError(ValueError):
    """These are no days, or too many, or not over yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthOrder:
    """Which month the settlement centre is told, as it stood at which instant."""

    period: Period
    service: Service
    zone: str
    as_of: datetime
    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalOrder:
    """Which days of the journal are told; ``to_day`` is the first day after."""

    from_day: date
    to_day: date
    zone: str
    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Who takes people's names away, when and why."""

    export_id: UUID
    purpose: str
    exported_by: str
    at: datetime


class Snapshot(Protocol):
    """The database as it stood at one instant."""

    async def month(
        self, period: Period, zone: str, *, as_of: datetime, after: str, limit: int
    ) -> Sequence[Row]:
        """Return the next accounts after one."""

    async def names(self, account_ids: Sequence[str]) -> Mapping[str, Named]:
        """Return who lives there."""

    async def balances(self, before: datetime) -> Balances:
        """Return the balance of every account of the ledger before an instant."""

    def entries(self, start_at: datetime, end_at: datetime) -> AsyncIterator[Entry]:
        """Read every posted transfer between two instants, in order."""


class ExportStore(Protocol):
    """What an export asks of the database."""

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Open the database as it stands now."""

    async def note(self, taken: Taken, order: MonthOrder, *, rows: int) -> None:
        """Keep who took people's names away."""


def month_order(
    label: str, *, as_of: datetime | None, form: Form, at: datetime, zone: str
) -> MonthOrder:
    """Return the order of a month; without an instant, as it stands now.

    Raises:
        ValueError: the label is not a month.
        PeriodNotOverError: the month still runs.
        BadInstantError: the instant lies inside the month, or ahead.
    """
    period = Period.parse(label)
    over_at = period.bounds(zone)[1]
    if at < over_at:
        raise PeriodNotOverError(period=period, over_at=over_at)
    spoken_of = at if as_of is None else as_of
    if not over_at <= spoken_of <= at:
        raise BadInstantError(f"as of an instant between {over_at.isoformat()} and now")
    return MonthOrder(period=period, service=Service.GAS, zone=zone, as_of=spoken_of, form=form)


def journal_order(
    from_day: date, to_day: date, *, form: Form, at: datetime, zone: str
) -> JournalOrder:
    """Return the order of some days.

    Raises:
        BadDaysError: they end before they begin, or are not over.
    """
    if to_day <= from_day:
        raise BadDaysError("the days end before they begin; the second is the first day after")
    if to_day > local_day(at, zone):
        raise BadDaysError(f"the days are not over; end them by {local_day(at, zone)}")
    return JournalOrder(from_day=from_day, to_day=to_day, zone=zone, form=form)


async def export_month(
    store: ExportStore,
    order: MonthOrder,
    sink: Sink,
    *,
    payee: Payee | None,
    taken: Taken | None = None,
) -> dict[str, Any]:
    """Write the month of every account and return the summary; ``taken`` asks for names.

    Raises:
        NotReconciledError: the rows are not what the ledger says.
    """
    sheet = Sheet(period=order.period, service=order.service, as_of=order.as_of, payee=payee)
    writer = _Writer(sink=sink, sheet=sheet, form=order.form, named=taken is not None)
    sums = Sums()
    async with store.snapshot() as snapshot:
        writer.begin()
        after = ""
        while rows := await snapshot.month(
            order.period, order.zone, as_of=order.as_of, after=after, limit=ACCOUNTS_PER_PAGE
        ):
            after = rows[-1].account_id
            names = await snapshot.names([row.account_id for row in rows]) if taken else {}
            for row in rows:
                sums.add(row)
                writer.add(row, names.get(row.account_id, _NOBODY) if taken else None)
        balances = await snapshot.balances(order.as_of + _INSTANT)
    owed = {
        currency: balance_minor
        for (code, currency), balance_minor in balances.items()
        if code == Account.RECEIVABLE
    }
    told = sums.told(owed)
    writer.end(told)
    if taken is not None:
        # Before anybody can carry the names away, and never with them.
        await store.note(taken, order, rows=sums.rows)
    log.info(
        "export.written",
        kind="settlement",
        period=order.period.label,
        form=order.form.value,
        rows=sums.rows,
        named=taken is not None,
    )
    return {**sheet.head(), **told}


async def export_journal(
    store: ExportStore, order: JournalOrder, sink: Sink, *, chart: Chart
) -> dict[str, Any]:
    """Write every posted transfer of some days and return the summary.

    Raises:
        NotReconciledError: the entries do not lead from one balance to the other.
    """
    zone = order.zone
    start_at, end_at = midnight(order.from_day, zone), midnight(order.to_day, zone)
    turnover = Turnover()
    as_csv = order.form is Form.CSV
    async with store.snapshot() as snapshot:
        if as_csv:
            sink(cells.line(journal.COLUMNS))
        async for entry in snapshot.entries(start_at, end_at):
            turnover.add(entry)
            if as_csv:
                sink(cells.line(entry.cells(chart, zone)))
        told = turnover.told(
            opening=await snapshot.balances(start_at),
            closing=await snapshot.balances(end_at),
            chart=chart,
        )
    summary = {**journal.head(order.from_day, order.to_day, zone), **told}
    if not as_csv:
        sink(_json(summary) + b"\n")
    log.info("export.written", kind="journal", form=order.form.value, rows=turnover.entries)
    return summary


_NOBODY: Final = Named(full_name="", address="")


@dataclass(slots=True, kw_only=True)
class _Writer:
    """Writes the rows of a month in one form."""

    sink: Sink
    sheet: Sheet
    form: Form
    named: bool
    first: bool = True

    def begin(self) -> None:
        match self.form:
            case Form.CSV:
                self.sink(cells.line(self.sheet.columns(named=self.named)))
            case Form.JSON | Form.SUMMARY:
                self.sink(_json(self.sheet.head())[:-1])
        if self.form is Form.JSON:
            self.sink(b',"accounts":[')

    def add(self, row: Row, named: Named | None) -> None:
        match self.form:
            case Form.CSV:
                self.sink(cells.line(self.sheet.cells(row, named)))
            case Form.JSON:
                between = b"\n" if self.first else b",\n"
                self.sink(between + _json(self.sheet.told(row, named)))
                self.first = False
            case Form.SUMMARY:
                pass

    def end(self, told: Mapping[str, Any]) -> None:
        if self.form is Form.JSON:
            self.sink(b"]")
        if self.form is not Form.CSV:
            self.sink(b"," + _json(told)[1:] + b"\n")


def _json(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
