"""The web server: hands the routes what they need.

What an error of the business answers is said in app/errors.py, how a request becomes an answer in
app/mount.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import asyncpg
from aiohttp import web
from prometheus_client import CollectorRegistry

from app import openapi, problems
from app.errors import ERRORS
from app.gauges import Gauges
from app.mount import mount
from app.public import Check, PublicApi
from app.run import Clock
from app.tokens import issue_token, revoke_account_tokens
from app.window import go_over
from billing.chart import Chart
from billing.decide import DecideBank
from billing.decision import REVIEW_TWO_FROM_MINOR
from billing.io.account_changes import ChangeViews
from billing.io.accounts import (
    AccountStore,
)
from billing.io.api import AccountApi, BillingApi
from billing.io.api_account_changes import AccountChangeApi
from billing.io.api_bills import DocumentApi
from billing.io.api_corrections import CorrectionApi
from billing.io.api_debit_desk import DebitDeskApi
from billing.io.api_debits import DebitApi
from billing.io.api_exports import ExportApi
from billing.io.api_holds import HoldApi
from billing.io.api_hooks import HookApi, HookFigures
from billing.io.api_ledger import LedgerApi
from billing.io.api_messages import MessageApi
from billing.io.api_moves import MoveApi
from billing.io.api_past import PastApi
from billing.io.api_penalties import PenaltyApi
from billing.io.api_prices import PriceApi
from billing.io.api_recon import ReconApi
from billing.io.api_run import RunApi
from billing.io.api_status import StatusApi
from billing.io.api_terms import TermsApi
from billing.io.api_vouchers import VoucherApi
from billing.io.bank_events import Hints
from billing.io.breaks import BreakDesk
from billing.io.contacts import Contacts
from billing.io.debits import Debits
from billing.io.drafts import Drafts
from billing.io.exports import Exports
from billing.io.final import FinalBills
from billing.io.holds import Holds
from billing.io.ledger import Ledger
from billing.io.moves import Moves
from billing.io.outbox import MessageViews
from billing.io.papers import Papers
from billing.io.past import Pasts
from billing.io.penalty_desk import PenaltyDesk
from billing.io.proposals import PriceDesk
from billing.io.records import Records
from billing.io.refund_views import RefundViews
from billing.io.run_stops import RunStops
from billing.io.store import BillingStore
from billing.io.terms import TermsBook
from billing.io.views import Views
from billing.io.vouchers import (
    Vouchers,
)
from billing.io.writer import Writer
from billing.link import LinkBank
from billing.payee import Payee
from billing.period import Calendar, Period
from billing.policy import NO_POLICY, BillPolicy
from billing.window import window_of
from metering.io.api import MeteringApi
from metering.io.api_custody import CustodyApi
from metering.io.api_desk import DeskApi
from metering.io.api_devices import DeviceApi
from metering.io.api_firmware import FirmwareApi
from metering.io.api_gaps import GapApi
from metering.io.api_rules import LevelApi, RuleApi
from metering.io.api_sources import SourceApi
from metering.io.api_standard import StandardApi
from metering.io.api_uploads import UploadApi
from metering.io.api_use import UseApi
from metering.io.conversions import Conversions, Wanted
from metering.io.custody import (
    Custody,
)
from metering.io.desk import (
    Desk,
)
from metering.io.devices import (
    Devices,
)
from metering.io.firmware import Firmwares
from metering.io.found import FindingDesk
from metering.io.gaps import Gaps
from metering.io.later_words import LaterWords
from metering.io.levels import Levels
from metering.io.registry import (
    Registry,
)
from metering.io.route import Bound, Role, routes_of
from metering.io.rules import Rules
from metering.io.sources import SourceBook
from metering.io.standards import Standards
from metering.io.uploads import Uploads
from metering.io.uses import Uses


# The one table from an error of the business to what the caller is told. The nearest class counts.
class ApiBank(LinkBank, DecideBank, Protocol):
    """What the API asks of the bank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebDeps:
    """What the web server works with.

    ``checks`` say whether what we depend on is there (/readyz); ``bank`` is None where no debits
    are sent; ``public_url`` is how the world calls this server, without a slash at its end;
    ``wanted`` is what the town wants to know of a volume, ``policy`` what it decides about bills;
    ``payee`` is whom bills are paid to; ``chart`` is how the accountants call our accounts;
    ``webhook_secrets`` are those with which the bank signs what it tells us, the newest first;
    a debit in review of ``review_two_from_minor`` or more is decided by two people.
    """

    pool: asyncpg.Pool
    clock: Clock
    zone: str
    public_url: str
    bank: ApiBank | None
    bank_scheme: str
    checks: Mapping[str, Check]
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    wanted: Wanted = field(default_factory=Wanted)
    policy: BillPolicy = NO_POLICY
    payee: Payee | None = None
    chart: Chart = field(default_factory=Chart.own)
    webhook_secrets: tuple[str, ...] = ()
    review_two_from_minor: int = REVIEW_TWO_FROM_MINOR
    hook_figures: HookFigures = field(init=False)
    gauges: Gauges = field(init=False)

    def __post_init__(self) -> None:
        """Register the figures of the business beside those of the web."""
        object.__setattr__(self, "hook_figures", HookFigures.on(self.metrics))
        object.__setattr__(self, "gauges", Gauges.on(self.metrics))


@dataclass(frozen=True, slots=True, kw_only=True)
class _TokenDesk:
    pool: asyncpg.Pool

    async def issue(
        self, *, account_id: str, label: str, at: datetime, lifetime: timedelta
    ) -> tuple[str, datetime]:
        """Return a new token of a resident and when it expires."""
        issued = await issue_token(
            self.pool,
            role=Role.RESIDENT,
            account_id=account_id,
            label=label,
            at=at,
            lifetime=lifetime,
        )
        return issued.token, issued.expires_at

    async def revoke(self, *, account_id: str, at: datetime) -> int:
        """Take every token of an account back; return how many."""
        return await revoke_account_tokens(self.pool, account_id, at)


def _debits(deps: WebDeps) -> tuple[object, ...]:
    """Return what answers about debits, the bank, and what residents are told of them."""
    store = Debits(deps.pool, deps.policy)
    return (
        DebitDeskApi(store=store, bank=deps.bank, two_from_minor=deps.review_two_from_minor),
        DebitApi(
            store=store,
            views=Views(pool=deps.pool),
            bank=deps.bank,
            scheme=deps.bank_scheme,
            public_url=deps.public_url,
        ),
        AccountChangeApi(
            store=store,
            changes=ChangeViews(pool=deps.pool),
            bank=deps.bank,
            scheme=deps.bank_scheme,
            public_url=deps.public_url,
        ),
        MessageApi(
            contacts=Contacts(pool=deps.pool, mails=deps.policy.mails),
            views=MessageViews(pool=deps.pool),
            writer=Writer(pool=deps.pool, zone=deps.zone, url=deps.public_url, payee=deps.payee),
        ),
        StatusApi(pool=deps.pool),
        RunApi(stops=RunStops(deps.pool)),
        HookApi(
            hints=Hints(deps.pool),
            secrets=deps.webhook_secrets,
            figures=deps.hook_figures,
        ),
        ReconApi(desk=BreakDesk(pool=deps.pool)),
        LedgerApi(
            ledger=Ledger(pool=deps.pool, zone=deps.zone),
            store=store,
            views=RefundViews(pool=deps.pool),
        ),
    )


def _billing(
    deps: WebDeps, *, accounts: AccountStore, store: BillingStore, calendar: Calendar
) -> tuple[object, ...]:
    """Return what answers about money."""
    return (
        AccountApi(accounts=accounts, store=store, tokens=_TokenDesk(pool=deps.pool)),
        DocumentApi(
            records=Records(pool=deps.pool, zone=deps.zone),
            papers=Papers(pool=deps.pool, zone=deps.zone, payee=deps.payee),
        ),
        BillingApi(
            store=store,
            zone=deps.zone,
            go_over=lambda period, at: go_over(deps.pool, deps.zone, period, at),
        ),
        ExportApi(
            exports=Exports(pool=deps.pool), zone=deps.zone, payee=deps.payee, chart=deps.chart
        ),
        MoveApi(
            moves=Moves(pool=deps.pool, calendar=calendar),
            finals=FinalBills(pool=deps.pool, store=store, zone=deps.zone),
        ),
        PenaltyApi(desk=PenaltyDesk(pool=deps.pool, calendar=calendar), policy=deps.policy),
        PriceApi(store=store, desk=PriceDesk(pool=deps.pool, calendar=calendar)),
        TermsApi(book=TermsBook(pool=deps.pool)),
        VoucherApi(vouchers=Vouchers(pool=deps.pool, calendar=calendar)),
        HoldApi(
            holds=Holds(pool=deps.pool),
            drafts=Drafts(pool=deps.pool, store=store),
            zone=deps.zone,
        ),
        CorrectionApi(pool=deps.pool),
        PastApi(pasts=Pasts(pool=deps.pool, zone=deps.zone)),
    )


def routes(deps: WebDeps) -> tuple[Bound, ...]:
    """Return every route of the service, bound to what it works with."""
    accounts = AccountStore(pool=deps.pool)
    calendar = Calendar(zone=deps.zone)
    conversions = Conversions(pool=deps.pool, calendar=calendar, wanted=deps.wanted)
    store = BillingStore(deps.pool, deps.policy, conversions=conversions)
    gaps = Gaps(pool=deps.pool, calendar=calendar)
    bounds: list[Bound] = []

    @cache
    def document() -> dict[str, Any]:
        # Half a second of work: for whoever reads it, not for every start.
        return openapi.document(bounds, ERRORS, _version())

    apis = (
        *_debits(deps),
        *_billing(deps, accounts=accounts, store=store, calendar=calendar),
        MeteringApi(registry=Registry(pool=deps.pool), has_supply_point=accounts.has_supply_point),
        DeviceApi(devices=Devices(pool=deps.pool)),
        SourceApi(book=SourceBook(pool=deps.pool)),
        CustodyApi(custody=Custody(pool=deps.pool)),
        FirmwareApi(firmwares=Firmwares(pool=deps.pool)),
        DeskApi(desk=Desk(pool=deps.pool, gaps=gaps), later_words=LaterWords(pool=deps.pool)),
        GapApi(gaps=gaps),
        UploadApi(uploads=Uploads(pool=deps.pool)),
        RuleApi(rules=Rules(deps.pool), findings=FindingDesk(pool=deps.pool), calendar=calendar),
        UseApi(
            uses=Uses(pool=deps.pool, midnight=calendar.midnight),
            conversions=conversions,
            window_of=lambda label: window_of(Period.parse(label), deps.zone),
        ),
        StandardApi(standards=Standards(pool=deps.pool, day_of=calendar.day_of)),
        LevelApi(levels=Levels(pool=deps.pool), calendar=calendar),
        PublicApi(
            checks=deps.checks,
            metrics=deps.metrics,
            look=lambda at: deps.gauges.look(deps.pool, at),
            problems=tuple(dict.fromkeys((*problems.OF_THE_WEB, *ERRORS.values()))),
            document=document,
        ),
    )
    bounds += (bound for api in apis for bound in routes_of(api))
    return tuple(bounds)


def build_app(deps: WebDeps) -> web.Application:
    """Return the web application; run it with ``app.serve.Runner``.

    Raises:
        MountError: the routes do not fit together.
    """
    return mount(
        routes(deps),
        pool=deps.pool,
        clock=deps.clock,
        errors=ERRORS,
        registry=deps.metrics,
    )


def _version() -> str:
    try:
        return version("aqkol")
    except PackageNotFoundError:
        # Run from a checkout that nobody installed.
        return "0"
