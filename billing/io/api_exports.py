"""What leaves for others, over HTTP.

A file is written whole, and found to add up, before its first byte is sent: whoever reads slowly
holds no transaction, and what is not the ledger's is answered with a problem and not with half a
file.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

from billing.chart import Chart
from billing.export import (
    BadDaysError,
    BadInstantError,
    Form,
    MonthOrder,
    Sink,
    Taken,
    export_journal,
    export_month,
    journal_order,
    month_order,
)
from billing.io.exports import Exports
from billing.io.wire_exports import (
    JournalQuery,
    NamedExportPage,
    NamedExportShown,
    NamedExportsQuery,
    NamedSettlement,
    SettlementQuery,
)
from billing.payee import Payee
from billing.reconcile import PeriodNotOverError
from billing.settlement import NotReconciledError
from metering.io.blob import BlobTooLargeError, Spool
from metering.io.registry import LAST_INSTANT
from metering.io.route import Call, Download, Nothing, Policy, route

# Some five million accounts; the command line has no limit but the disk.
EXPORT_BYTES_MAX: Final = 4 * 1024**3

_FILES: Final = "text/csv, application/json"
_MEDIA_TYPES: Final = {
    Form.CSV: "text/csv; charset=utf-8; header=present",
    Form.JSON: "application/json",
    Form.SUMMARY: "application/json",
}
_LAST_EXPORT: Final = UUID(int=2**128 - 1)


class ExportTooLargeError(Exception):
    """The file would be larger than is sent at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportApi:
    """The routes of exports; one is written at a time, so that it slows nobody else down."""

    exports: Exports
    zone: str
    payee: Payee | None
    chart: Chart
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @route(
        "GET",
        "/v1/exports/settlement",
        policy=Policy.OPERATOR,
        summary="Export a month for the settlement centre",
        tag="exports",
        raises=(PeriodNotOverError, BadInstantError, NotReconciledError, ExportTooLargeError),
        media_type=_FILES,
    )
    async def export_settlement(self, call: Call[Nothing, SettlementQuery, Nothing]) -> Download:
        """Write one row per account, without names; the sum of what is to pay is the ledger's."""
        query = call.query
        order = month_order(
            query.period, as_of=query.as_of, form=query.form, at=call.at, zone=self.zone
        )
        return await self._settlement(order, None)

    @route(
        "POST",
        "/v1/exports/settlement",
        policy=Policy.OPERATOR,
        summary="Export a month with people's names",
        tag="exports",
        raises=(PeriodNotOverError, BadInstantError, NotReconciledError, ExportTooLargeError),
        media_type=_FILES,
    )
    async def export_settlement_with_names(
        self, call: Call[Nothing, Nothing, NamedSettlement]
    ) -> Download:
        """Write the same with names and addresses; who took them and why is kept."""
        body = call.body
        order = month_order(
            body.period, as_of=body.as_of, form=Form(body.form), at=call.at, zone=self.zone
        )
        taken = Taken(
            export_id=uuid4(), purpose=body.purpose, exported_by=call.signature, at=call.at
        )
        return await self._settlement(order, taken)

    @route(
        "GET",
        "/v1/exports/names",
        policy=Policy.OPERATOR,
        summary="List who exported names",
        tag="exports",
    )
    async def list_named_exports(
        self, call: Call[Nothing, NamedExportsQuery, Nothing]
    ) -> NamedExportPage:
        """List the exports with names, and what they were needed for."""
        query = call.query
        noted = await self.exports.noted(
            before=query.before or LAST_INSTANT,
            before_id=query.before_export or (UUID(int=0) if query.before else _LAST_EXPORT),
            page=query.limit,
        )
        last = noted[-1] if len(noted) == query.limit else None
        return NamedExportPage(
            exports=[NamedExportShown(**asdict(it)) for it in noted],
            next_before=None if last is None else last.exported_at,
            next_before_export=None if last is None else last.export_id,
        )

    @route(
        "GET",
        "/v1/exports/journal",
        policy=Policy.OPERATOR,
        summary="Export the journal",
        tag="exports",
        raises=(BadDaysError, NotReconciledError, ExportTooLargeError),
        media_type=_FILES,
    )
    async def export_journal_of_days(self, call: Call[Nothing, JournalQuery, Nothing]) -> Download:
        """Write every posted transfer of some days, or only their sums and balances."""
        query = call.query
        order = journal_order(
            query.from_day, query.to_day, form=Form(query.form), at=call.at, zone=self.zone
        )

        async def write(sink: Sink) -> object:
            return await export_journal(self.exports, order, sink, chart=self.chart)

        name = f"journal-{order.from_day}-{order.to_day}"
        return await self._written(write, name=name, form=order.form)

    async def _settlement(self, order: MonthOrder, taken: Taken | None) -> Download:
        async def write(sink: Sink) -> object:
            return await export_month(self.exports, order, sink, payee=self.payee, taken=taken)

        name = f"settlement-{order.period.label}"
        return await self._written(write, name=name, form=order.form)

    async def _written(
        self, write: Callable[[Sink], Awaitable[Any]], *, name: str, form: Form
    ) -> Download:
        spool = Spool(EXPORT_BYTES_MAX)
        try:
            async with self.turn:
                await write(spool.add)
        except BlobTooLargeError:
            spool.close()
            raise ExportTooLargeError(f"at most {EXPORT_BYTES_MAX} bytes") from None
        except BaseException:
            spool.close()
            raise
        ending = "summary.json" if form is Form.SUMMARY else form.value
        return Download(spool=spool, media_type=_MEDIA_TYPES[form], name=f"{name}.{ending}")
