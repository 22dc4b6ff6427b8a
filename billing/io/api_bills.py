"""Bills as documents over HTTP: the record that anybody can check."""

from dataclasses import dataclass

from billing.io.records import BillUnknownError, Records
from billing.io.wire import BillPath
from billing.record import canonical
from metering.io.route import Call, Nothing, Page, Policy, route


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentApi:
    """The routes of bills as people keep them."""

    records: Records

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
