"""The web server: hands the routes what they need and turns errors into statuses.

This module knows every error of the business and its status; how a request becomes an answer is
said in app/mount.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import asyncpg
from aiohttp import web
from prometheus_client import CollectorRegistry

from app import openapi, problems
from app.mount import mount
from app.problems import ProblemType, problem_type
from app.public import Check, NotReadyError, PublicApi
from app.run import Clock
from app.run_errors import RUN_ERRORS
from app.tokens import issue_token, revoke_account_tokens
from app.window import go_over, window_of
from billing.bank import BankError, BankSilentError
from billing.enrol import MandateEndedError, NoSuchMandateError
from billing.io.accounts import (
    AccountDiffersError,
    AccountStore,
    AccountUnknownError,
    NoSuchTariffError,
)
from billing.io.api import AccountApi, BillingApi
from billing.io.api_bills import DocumentApi
from billing.io.api_debits import DebitApi, NoBankError
from billing.io.api_holds import HoldApi
from billing.io.api_vouchers import VoucherApi
from billing.io.debits import Debits
from billing.io.holds import Holds
from billing.io.records import BillUnknownError, Records
from billing.io.store import BillingStore
from billing.io.views import Views
from billing.io.vouchers import (
    VoucherDiffersError,
    VoucherRevokedError,
    Vouchers,
    VoucherSpentError,
    VoucherUnknownError,
    VoucherUnusableError,
)
from billing.link import LinkBank, MandateExistsError, NoSuchAccountError
from billing.period import Calendar, Period
from billing.reconcile import PeriodNotOverError
from billing.tariff import TariffBilledError, TariffOverlapError, TariffUnknownError
from metering.device import StateError
from metering.gaps import BadSpanError
from metering.io.api import MeteringApi, SupplyPointUnknownError
from metering.io.api_custody import CustodyApi
from metering.io.api_desk import DeskApi
from metering.io.api_devices import DeviceApi
from metering.io.api_firmware import FirmwareApi
from metering.io.api_gaps import GapApi
from metering.io.api_rules import LevelApi, RuleApi
from metering.io.api_sources import SourceApi
from metering.io.api_standard import StandardApi
from metering.io.api_uploads import EncodingDiffersError, UploadApi
from metering.io.api_use import UseApi
from metering.io.conversions import Conversions, Wanted
from metering.io.custody import (
    ClaimSettledError,
    Custody,
    NotRevokedError,
    StillInstalledError,
)
from metering.io.desk import (
    BreaksTheLineError,
    CaseClosedError,
    CaseUnknownError,
    DecisionDiffersError,
    Desk,
    NotHeldError,
    ReadingUnknownError,
)
from metering.io.device_rows import KeyKnownError
from metering.io.devices import (
    ClaimLockedError,
    ClaimRefusedError,
    Devices,
    KeyUnknownError,
    MeterKnownError,
    NotClaimedError,
    RotationRefusedError,
    WitnessDiffersError,
)
from metering.io.firmware import Firmwares
from metering.io.found import FindingDesk, FindingNotHeldError, FindingUnknownError
from metering.io.gaps import GapOverlapsError, Gaps, GapUnknownError, GapWithdrawnError
from metering.io.later_words import LaterWords, NothingToCorrectError, NotTrustedError
from metering.io.levels import Levels, NotConsistentError, ProposalDiffersError
from metering.io.registry import (
    AlreadyMeasuredError,
    ClosingImplausibleError,
    InstallationDiffersError,
    InstallationOverlapsError,
    MeterDiffersError,
    MeterUnknownError,
    NotInstalledError,
    OpeningBeyondDialError,
    Registry,
    RemovalDiffersError,
    RemovalOutOfOrderError,
)
from metering.io.route import Bound, NotThereError, Role, routes_of
from metering.io.rules import OverrideKnownError, OverrideRefusedError, Rules
from metering.io.sources import SourceBook, SourceClaimedError, SourceUnknownError
from metering.io.standards import StandardRefusedError, Standards, TableKnownError
from metering.io.uploads import Uploads, UploadUnknownError, UploadUnreadableError
from metering.io.uses import Uses
from metering.io.wire import CursorError
from metering.source import SourceError
from metering.take_in import UploadOvertakenError
from metering.topic import FilterError
from metering.upload import ZoneUnknownError
from metering.validate import WindowNotOverError

# The one table from an error of the business to what the caller is told. The nearest class counts.
ERRORS: Final[Mapping[type[Exception], ProblemType]] = {
    NotThereError: problems.NOT_FOUND,
    MeterUnknownError: problems.NOT_FOUND,
    AccountUnknownError: problems.NOT_FOUND,
    NoSuchAccountError: problems.NOT_FOUND,
    NoSuchMandateError: problems.NOT_FOUND,
    BillUnknownError: problems.NOT_FOUND,
    MeterDiffersError: problem_type(409, "meter-differs", "This meter is registered differently"),
    MeterKnownError: problem_type(409, "meter-known", "A meter with this id is registered"),
    KeyKnownError: problem_type(409, "key-known", "A meter has, or had, this key"),
    KeyUnknownError: problems.NOT_FOUND,
    StateError: problem_type(409, "meter-state", "A meter in this state cannot do that"),
    RotationRefusedError: problem_type(
        409, "rotation-refused", "The new key does not follow from the old one"
    ),
    ClaimRefusedError: problem_type(409, "claim-refused", "This is not the code of the meter"),
    ClaimLockedError: problem_type(409, "claim-locked", "Too many wrong codes were tried"),
    ClaimSettledError: problem_type(
        409, "claim-settled", "The meter was claimed, or never had a code"
    ),
    NotRevokedError: problem_type(
        409, "not-revoked", "A key of the meter may still speak, or none was revoked"
    ),
    StillInstalledError: problem_type(409, "still-installed", "The meter hangs somewhere"),
    NotClaimedError: problem_type(409, "not-claimed", "The meter has not been claimed"),
    WitnessDiffersError: problem_type(
        409, "witness-differs", "This witness saw another register before"
    ),
    InstallationOverlapsError: problem_type(
        409, "installation-overlaps", "The meter hangs somewhere at that time"
    ),
    InstallationDiffersError: problem_type(
        409, "installation-differs", "The meter was hung up then, but differently"
    ),
    NotInstalledError: problem_type(409, "not-installed", "The meter hangs nowhere"),
    RemovalDiffersError: problem_type(
        409, "removal-differs", "The meter was taken down already, but differently"
    ),
    AlreadyMeasuredError: problem_type(
        409, "already-measured", "Gas beyond that instant stands on a bill"
    ),
    ReadingUnknownError: problems.NOT_FOUND,
    SourceUnknownError: problems.NOT_FOUND,
    SourceClaimedError: problem_type(
        409, "source-claimed", "Another source could take the same messages"
    ),
    SourceError: problem_type(422, "source-unusable", "This source could not work"),
    FilterError: problem_type(422, "topic-unusable", "No source may listen to this topic"),
    CaseUnknownError: problems.NOT_FOUND,
    NotHeldError: problem_type(409, "not-held", "The reading is billable; nothing is to decide"),
    NotTrustedError: problem_type(409, "not-trusted", "The reading is held; decide on it instead"),
    NothingToCorrectError: problem_type(
        409, "nothing-to-correct", "The register is what it should be"
    ),
    DecisionDiffersError: problem_type(
        409, "decision-differs", "This reading was decided already, but differently"
    ),
    CaseClosedError: problem_type(
        409, "case-closed", "The case was closed already, but differently"
    ),
    GapUnknownError: problems.NOT_FOUND,
    GapOverlapsError: problem_type(
        409, "gap-overlaps", "Some of these days are declared already, otherwise"
    ),
    GapWithdrawnError: problem_type(
        409, "gap-withdrawn", "The gap was withdrawn already, for another reason"
    ),
    BadSpanError: problem_type(422, "bad-span", "These are no days, or too many"),
    BreaksTheLineError: problem_type(
        422, "breaks-the-line", "The register does not fit between its trusted neighbours"
    ),
    OverrideRefusedError: problem_type(
        422, "override-refused", "A town may not override a rule like this"
    ),
    OverrideKnownError: problem_type(
        409, "override-known", "The rule has another word of that day already"
    ),
    StandardRefusedError: problem_type(
        422, "standard-refused", "This cannot be said about gas and its heat"
    ),
    TableKnownError: problem_type(
        409, "table-known", "A table of this version was entered with other words"
    ),
    FindingUnknownError: problems.NOT_FOUND,
    FindingNotHeldError: problem_type(
        409, "finding-not-held", "The finding waits for nobody; nothing is to decide"
    ),
    NotConsistentError: problem_type(
        409, "not-consistent", "The refused readings do not agree on a level"
    ),
    ProposalDiffersError: problem_type(
        409, "proposal-differs", "The readings agree on another level than was shown"
    ),
    AccountDiffersError: problem_type(
        409, "account-differs", "This account was opened differently"
    ),
    TariffOverlapError: problem_type(
        409, "tariff-overlaps", "Another price is valid on some of these days"
    ),
    TariffUnknownError: problem_type(
        409, "tariff-not-open", "No price of this tariff can end on that day"
    ),
    TariffBilledError: problem_type(
        409, "tariff-billed", "Days after that one have been billed with this price"
    ),
    PeriodNotOverError: problem_type(409, "period-not-over", "The month is not over yet"),
    WindowNotOverError: problem_type(409, "period-not-over", "The month is not over yet"),
    MandateExistsError: problem_type(
        409, "mandate-exists", "The account has a mandate that is usable"
    ),
    MandateEndedError: problem_type(409, "mandate-ended", "The mandate is over"),
    OpeningBeyondDialError: problem_type(
        422, "opening-beyond-dial", "The dial cannot show this register"
    ),
    SupplyPointUnknownError: problem_type(
        422, "supply-point-unknown", "The account has no such supply point"
    ),
    RemovalOutOfOrderError: problem_type(
        422, "removal-out-of-order", "A meter comes down after it was hung up, not in the future"
    ),
    ClosingImplausibleError: problem_type(
        422, "closing-implausible", "The register does not fit the readings beside it"
    ),
    NoSuchTariffError: problem_type(
        422, "tariff-unknown", "No price of this tariff exists in this currency"
    ),
    VoucherUnknownError: problems.NOT_FOUND,
    VoucherDiffersError: problem_type(
        409, "voucher-differs", "This document was entered already, with other words"
    ),
    VoucherRevokedError: problem_type(
        409, "voucher-revoked", "The voucher was revoked already, for another reason"
    ),
    VoucherSpentError: problem_type(409, "voucher-spent", "Nothing of the voucher is left"),
    VoucherUnusableError: problem_type(
        422, "voucher-unusable", "The voucher has expired or is in another currency"
    ),
    UploadUnknownError: problems.NOT_FOUND,
    UploadOvertakenError: problem_type(
        409, "upload-overtaken", "Somebody else is sending the same file"
    ),
    UploadUnreadableError: problem_type(
        422, "upload-unreadable", "The file cannot be read; nothing of it was taken"
    ),
    EncodingDiffersError: problem_type(
        422, "encoding-differs", "The charset of the body is not the encoding in the query"
    ),
    ZoneUnknownError: problem_type(422, "zone-unknown", "There is no such time zone"),
    CursorError: problem_type(422, "cursor-unknown", "This list never gave out that place"),
    BankSilentError: problem_type(503, "bank-silent", "The bank does not answer; try again"),
    BankError: problem_type(502, "bank-trouble", "The bank does not do what we asked for"),
    NoBankError: problem_type(503, "no-bank", "This installation talks to no bank"),
    NotReadyError: problems.UNAVAILABLE,
    **RUN_ERRORS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebDeps:
    """What the web server works with.

    ``checks`` say whether what we depend on is there (/readyz); ``bank`` is None where no debits
    are sent; ``public_url`` is how the world calls this server, without a slash at its end;
    ``wanted`` is what the town wants to know of a volume.
    """

    pool: asyncpg.Pool
    clock: Clock
    zone: str
    public_url: str
    bank: LinkBank | None
    bank_scheme: str
    checks: Mapping[str, Check]
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    wanted: Wanted = field(default_factory=Wanted)


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


def routes(deps: WebDeps) -> tuple[Bound, ...]:
    """Return every route of the service, bound to what it works with."""
    accounts = AccountStore(pool=deps.pool)
    calendar = Calendar(zone=deps.zone)
    conversions = Conversions(pool=deps.pool, calendar=calendar, wanted=deps.wanted)
    store = BillingStore(deps.pool, conversions=conversions)
    gaps = Gaps(pool=deps.pool, calendar=calendar)
    document: dict[str, Any] = {}
    apis = (
        AccountApi(accounts=accounts, store=store, tokens=_TokenDesk(pool=deps.pool)),
        DocumentApi(records=Records(pool=deps.pool, zone=deps.zone)),
        DebitApi(
            store=Debits(deps.pool),
            views=Views(pool=deps.pool),
            bank=deps.bank,
            scheme=deps.bank_scheme,
            public_url=deps.public_url,
        ),
        BillingApi(
            store=store,
            zone=deps.zone,
            go_over=lambda period, at: go_over(deps.pool, deps.zone, period, at),
        ),
        VoucherApi(vouchers=Vouchers(pool=deps.pool, calendar=calendar)),
        HoldApi(holds=Holds(pool=deps.pool)),
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
            problems=tuple(dict.fromkeys((*problems.OF_THE_WEB, *ERRORS.values()))),
            document=document,
        ),
    )
    bounds = tuple(bound for api in apis for bound in routes_of(api))
    document.update(openapi.document(bounds, ERRORS, _version()))
    return bounds


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
