"""Bills as documents over HTTP: the record that anybody can check, and the paper people keep."""

import asyncio
from dataclasses import dataclass

from billing.io import press
from billing.io.papers import Papers
from billing.io.press import Form
from billing.io.records import BillUnknownError, Records
from billing.io.wire import BillPath, DocumentQuery
from billing.paper.document import document
from billing.paper.words import Language
from billing.record import canonical
from metering.io.route import Call, Nothing, Page, Policy, Role, route


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentApi:
    """The routes of bills as people keep them."""

    records: Records
    papers: Papers

    @route(
        "GET",
        "/v1/accounts/{account_id}/bills/{bill_no}/record",
        policy=Policy.ACCOUNT,
        summary="Show the record of a bill",
        tag="bills",
        raises=(BillUnknownError,),
    )
    async def show_bill_record(self, call: Call[BillPath, Nothing, Nothing]) -> Page:
        """Show everything a bill was made of (aqkol-bill/1), so that anybody can make it again.

        It holds no name and no address, and never changes.
        """
        record = await self.records.record(call.path.account_id, call.path.bill_no)
        return Page(content=canonical(record), media_type="application/json")

    @route(
        "GET",
        "/v1/accounts/{account_id}/bills/{bill_no}/document",
        policy=Policy.ACCOUNT,
        summary="Show a bill as a document",
        tag="bills",
        media_type="*/*",
        raises=(BillUnknownError,),
    )
    async def show_bill_document(self, call: Call[BillPath, DocumentQuery, Nothing]) -> Page:
        """Show a bill as PDF or as a page, in Kazakh, Russian or English.

        The resident's copy names the resident; an operator's does not.
        """
        record = await self.records.record(call.path.account_id, call.path.bill_no)
        own = call.caller is not None and call.caller.role is Role.RESIDENT
        ((record, around),) = await self.papers.around([record], addressed=own)
        made = document(record, around, Language(call.query.language))
        if Form(call.query.form) is Form.PDF:
            # Some twenty milliseconds of a core: not on the loop that answers everybody.
            content = await asyncio.to_thread(press.pdf, made)
            return Page(content=content, media_type="application/pdf")
        return Page(
            content=press.html(made),
            media_type="text/html; charset=utf-8",
            content_policy=press.page_policy(),
        )
