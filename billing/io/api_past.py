"""Bills as of an instant over HTTP."""

from dataclasses import dataclass

from billing.io.accounts import AccountUnknownError
from billing.io.past import InstantAheadError, Pasts
from billing.io.wire_holds import MonthPath
from billing.io.wire_past import AsOfQuery, AsOfShown, as_of_shown
from billing.period import Period
from billing.reconcile import PeriodNotOverError
from metering.io.route import Call, Nothing, Policy, route


@dataclass(frozen=True, slots=True, kw_only=True)
class PastApi:
    """The route of what bills would have been."""

    pasts: Pasts

    @route(
        "GET",
        "/v1/accounts/{account_id}/months/{period}/as-of",
        policy=Policy.ACCOUNT,
        summary="Show a bill as of an instant",
        tag="bills",
        raises=(AccountUnknownError, InstantAheadError, PeriodNotOverError),
    )
    async def show_bill_as_of(self, call: Call[MonthPath, AsOfQuery, Nothing]) -> AsOfShown:
        """Show what the bill of a month would have been with what was known by an instant.

        Beside it stand the bill in force at that instant, if there was one, and the sums of today.
        Adjustments of other months and penalties are left out. Nothing is written.
        """
        found = await self.pasts.as_of(
            call.path.account_id,
            Period.parse(call.path.period),
            at=call.query.at,
            now=call.at,
        )
        return as_of_shown(found)
