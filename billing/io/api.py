"""Accounts and bills over HTTP."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Protocol

from billing.bill import Bill, Hold
from billing.io.accounts import (
    Account,
    AccountDiffersError,
    AccountStore,
    AccountUnknownError,
    NoSuchTariffError,
    Person,
    SupplyPoint,
)
from billing.io.months import NotApprovedError
from billing.io.store import BillingStore
from billing.io.wire import (
    AccountDetail,
    AccountPage,
    AccountPath,
    AccountQuery,
    AccountShown,
    BillChargeShown,
    BillDetail,
    BillLineShown,
    BillPage,
    BillPath,
    BillQuery,
    BillRunDone,
    BillShown,
    HoldPage,
    HoldQuery,
    HoldShown,
    NewAccount,
    NewBillRun,
    NewToken,
    PersonShown,
    SupplyPointShown,
    TokenShown,
    TokensRevoked,
)
from billing.period import Period
from billing.reconcile import ParallelRunError, PeriodNotOverError, reconcile
from metering.io.route import Answer, Call, Nothing, NotThereError, Policy, Role, route


class TokenDesk(Protocol):
    """Who makes tokens for residents and takes them back; the shell does."""

    async def issue(
        self, *, account_id: str, label: str, at: datetime, lifetime: timedelta
    ) -> tuple[str, datetime]:
        """Return a new token and when it expires."""

    async def revoke(self, *, account_id: str, at: datetime) -> int:
        """Take every token of an account back; return how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountApi:
    """The routes of accounts and of what they are billed."""

    accounts: AccountStore
    store: BillingStore
    tokens: TokenDesk

    @route(
        "POST",
        "/v1/accounts",
        policy=Policy.OPERATOR,
        summary="Open an account",
        tag="accounts",
        status=201,
        repeat_status=200,
        raises=(NoSuchTariffError, AccountDiffersError),
    )
    async def open_account(self, call: Call[Nothing, Nothing, NewAccount]) -> Answer[AccountShown]:
        """Open an account with its first supply point; the same again changes nothing.

        The name and the address go in here and come out only for the resident.
        """
        new = call.body
        fresh = await self.accounts.open(
            Account(
                account_id=new.account_id,
                tariff_code=new.tariff_code,
                currency=new.currency,
                opened_at=call.at,
            ),
            Person(full_name=new.person.full_name, address=new.person.address),
            SupplyPoint(
                supply_point_id=new.supply_point.supply_point_id,
                connected_at=new.supply_point.connected_at,
            ),
        )
        return Answer(body=_account(await self.accounts.account(new.account_id)), fresh=fresh)

    @route("GET", "/v1/accounts", policy=Policy.OPERATOR, summary="List accounts", tag="accounts")
    async def list_accounts(self, call: Call[Nothing, AccountQuery, Nothing]) -> AccountPage:
        """List accounts in the order of their ids, without saying who they are."""
        accounts = await self.accounts.accounts(after=call.query.after or "", page=call.query.limit)
        return AccountPage(
            accounts=[_account(account) for account in accounts],
            next=accounts[-1].account_id if len(accounts) == call.query.limit else None,
        )

    @route(
        "GET",
        "/v1/accounts/{account_id}",
        policy=Policy.ACCOUNT,
        summary="Show an account",
        tag="accounts",
        raises=(AccountUnknownError,),
    )
    async def show_account(self, call: Call[AccountPath, Nothing, Nothing]) -> AccountDetail:
        """Show an account and what it owes; name and address only to the resident."""
        account_id = call.path.account_id
        account = await self.accounts.account(account_id)
        person = None
        if call.caller is not None and call.caller.role is Role.RESIDENT:
            person = PersonShown.model_validate(
                await self.accounts.person(account_id), from_attributes=True
            )
        points = await self.accounts.supply_points(account_id)
        return AccountDetail(
            **_account(account).model_dump(),
            owed_minor=await self.store.account_owed_minor(account_id),
            supply_points=[
                SupplyPointShown.model_validate(point, from_attributes=True) for point in points
            ],
            person=person,
        )

    @route(
        "POST",
        "/v1/accounts/{account_id}/tokens",
        policy=Policy.OPERATOR,
        summary="Make a token for a resident",
        tag="accounts",
        status=201,
        raises=(AccountUnknownError,),
    )
    async def issue_resident_token(self, call: Call[AccountPath, Nothing, NewToken]) -> TokenShown:
        """Make a token for the resident of the account; it is shown this once."""
        account = await self.accounts.account(call.path.account_id)
        token, expires_at = await self.tokens.issue(
            account_id=account.account_id,
            label=call.body.label,
            at=call.at,
            lifetime=timedelta(days=call.body.days),
        )
        return TokenShown(token=token, expires_at=expires_at)

    @route(
        "DELETE",
        "/v1/accounts/{account_id}/tokens",
        policy=Policy.OPERATOR,
        summary="Take back a resident's tokens",
        tag="accounts",
        raises=(AccountUnknownError,),
    )
    async def revoke_resident_tokens(
        self, call: Call[AccountPath, Nothing, Nothing]
    ) -> TokensRevoked:
        """Take back every token of the account, at once: a lost phone, a resident who moved."""
        account = await self.accounts.account(call.path.account_id)
        return TokensRevoked(
            revoked=await self.tokens.revoke(account_id=account.account_id, at=call.at)
        )

    @route(
        "GET",
        "/v1/accounts/{account_id}/bills",
        policy=Policy.ACCOUNT,
        summary="List the bills of an account",
        tag="bills",
        raises=(AccountUnknownError,),
    )
    async def list_bills(self, call: Call[AccountPath, BillQuery, Nothing]) -> BillPage:
        """List bills, newest first."""
        account = await self.accounts.account(call.path.account_id)
        bills = await self.store.bills(
            account.account_id, limit=call.query.limit, before=call.query.after
        )
        shown = await self._shown(account.account_id, bills)
        full = len(bills) == call.query.limit
        return BillPage(bills=shown, next=bills[-1].bill_no if full else None)

    @route(
        "GET",
        "/v1/accounts/{account_id}/bills/{bill_no}",
        policy=Policy.ACCOUNT,
        summary="Show a bill with its lines",
        tag="bills",
    )
    async def show_bill(self, call: Call[BillPath, Nothing, Nothing]) -> BillDetail:
        """Show a bill with every register, price and tax rate that it was made of."""
        bill = await self.store.bill(call.path.account_id, call.path.bill_no)
        if bill is None:
            raise NotThereError
        shown = await self._shown(call.path.account_id, (bill,))
        return BillDetail(
            **shown[0].model_dump(),
            lines=[BillLineShown.model_validate(line, from_attributes=True) for line in bill.lines],
            charges=[
                BillChargeShown.model_validate(charge, from_attributes=True)
                for charge in bill.charges
            ],
        )

    async def _shown(self, account_id: str, bills: tuple[Bill, ...]) -> list[BillShown]:
        numbers = [bill.bill_no for bill in bills]
        owed = await self.store.owed_minor(account_id, numbers)
        moving = await self.accounts.bills_in_transit(account_id, numbers)
        return [
            _bill(bill, owed_minor=owed[bill.bill_no], in_transit=bill.bill_no in moving)
            for bill in bills
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingApi:
    """The routes of the run that makes bills.

    ``go_over`` lets the rules of belief speak about a month before it is billed.
    """

    store: BillingStore
    zone: str
    go_over: Callable[[Period, datetime], Awaitable[None]]

    @route(
        "POST",
        "/v1/bill-runs",
        policy=Policy.OPERATOR,
        summary="Bill a month that is over",
        tag="bills",
        raises=(PeriodNotOverError, ParallelRunError, NotApprovedError),
    )
    async def run_bills(self, call: Call[Nothing, Nothing, NewBillRun]) -> BillRunDone:
        """Measure the gas of a month and issue its bills; run again, it does what was left."""
        period = Period.parse(call.body.period)
        await self.go_over(period, call.at)
        counts = await reconcile(store=self.store, period=period, at=call.at, zone=self.zone)
        return BillRunDone(period=period.label, **asdict(counts))

    @route("GET", "/v1/bills/held", policy=Policy.OPERATOR, summary="List held bills", tag="bills")
    async def list_held_bills(self, call: Call[Nothing, HoldQuery, Nothing]) -> HoldPage:
        """List bills that could not be issued, each with its reason and the meter to look at."""
        starts = sorted(await self.store.periods_with_questions())
        periods = [Period.month(start.year, start.month) for start in starts]
        period = Period.parse(call.query.period) if call.query.period else None
        if period is None and periods:
            period = periods[0]
        holds: tuple[Hold, ...] = ()
        if period is not None:
            holds = await self.store.holds(
                period.start, limit=call.query.limit, after=call.query.after or ""
            )
        return HoldPage(
            period=period.label if period else None,
            periods=[each.label for each in periods],
            holds=[
                HoldShown(
                    account_id=hold.account_id,
                    reason=hold.reason.value,
                    meter_id=hold.meter_id,
                    noted_at=hold.noted_at,
                    detail=dict(hold.detail),
                )
                for hold in holds
            ],
            next=holds[-1].account_id if len(holds) == call.query.limit else None,
        )


def _account(account: Account) -> AccountShown:
    return AccountShown.model_validate(account, from_attributes=True)


def _bill(bill: Bill, *, owed_minor: int, in_transit: bool) -> BillShown:
    state = "open" if owed_minor > 0 else "paid"
    return BillShown(
        bill_no=bill.bill_no,
        period_start=bill.period_start,
        period_end=bill.period_end,
        revision=bill.revision,
        volume_dm3=bill.volume_dm3,
        net_minor=bill.net_minor,
        vat_minor=bill.vat_minor,
        total_minor=bill.total_minor,
        owed_minor=owed_minor,
        currency=bill.currency,
        state="in_transit" if state == "open" and in_transit else state,
        kind=bill.kind,
        corrects_bill_no=bill.corrects_bill_no,
        issued_at=bill.issued_at,
        due_on=bill.due_on,
    )
