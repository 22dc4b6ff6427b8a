"""Every error of the business, and what an API call that meets it answers."""

from collections.abc import Mapping
from typing import Final

from app import problems
from app.account_errors import ACCOUNT_ERRORS
from app.bank_errors import BANK_ERRORS
from app.debit_errors import DEBIT_ERRORS
from app.problems import ProblemType, problem_type
from app.public import NotReadyError
from app.run_errors import RUN_ERRORS
from billing.bank import BankError, BankSilentError
from billing.enrol import MandateEndedError, NoSuchMandateError
from billing.export import BadDaysError, BadInstantError
from billing.give_back import RefundRefusedError
from billing.io.accounts import (
    AccountDiffersError,
    AccountUnknownError,
    NoSuchTariffError,
)
from billing.io.api_debits import NoBankError
from billing.io.api_exports import ExportTooLargeError
from billing.io.api_hooks import BadSignatureError
from billing.link import MandateExistsError, NoSuchAccountError
from billing.proposal import (
    PriceDayPastError,
    PriceDecidedError,
    PriceProposalUnknownError,
    SecondPersonError,
    TariffCurrencyError,
    TariffGapError,
    VatBilledError,
    VatKnownError,
)
from billing.reconcile import PeriodNotOverError
from billing.settlement import NotReconciledError
from billing.tariff import TariffBilledError, TariffOverlapError, TariffUnknownError
from billing.trial import BadSpanOfDaysError, NotBalancedError
from metering.device import StateError
from metering.gaps import BadSpanError
from metering.io.api import SupplyPointUnknownError
from metering.io.api_uploads import EncodingDiffersError
from metering.io.custody import (
    ClaimSettledError,
    NotRevokedError,
    StillInstalledError,
)
from metering.io.desk import (
    BreaksTheLineError,
    CaseClosedError,
    CaseUnknownError,
    DecisionDiffersError,
    NotHeldError,
    ReadingUnknownError,
)
from metering.io.device_rows import KeyKnownError
from metering.io.devices import (
    ClaimLockedError,
    ClaimRefusedError,
    KeyUnknownError,
    MeterKnownError,
    NotClaimedError,
    RotationRefusedError,
    WitnessDiffersError,
)
from metering.io.found import FindingNotHeldError, FindingUnknownError
from metering.io.gaps import GapOverlapsError, GapUnknownError, GapWithdrawnError
from metering.io.later_words import NothingToCorrectError, NotTrustedError
from metering.io.levels import NotConsistentError, ProposalDiffersError
from metering.io.registry import (
    AlreadyMeasuredError,
    ClosingImplausibleError,
    InstallationDiffersError,
    InstallationOverlapsError,
    MeterDiffersError,
    MeterUnknownError,
    NotInstalledError,
    OpeningBeyondDialError,
    RemovalDiffersError,
    RemovalOutOfOrderError,
)
from metering.io.route import NotThereError
from metering.io.rules import OverrideKnownError, OverrideRefusedError
from metering.io.sources import SourceClaimedError, SourceUnknownError
from metering.io.standards import StandardRefusedError, TableKnownError
from metering.io.uploads import UploadUnknownError, UploadUnreadableError
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
    TariffGapError: problem_type(
        409, "tariff-gap", "Days between two prices of the tariff would have none"
    ),
    TariffCurrencyError: problem_type(
        409, "tariff-currency", "The tariff has prices in another currency"
    ),
    PriceDayPastError: problem_type(
        422, "price-day-past", "A price changes on a local day after today"
    ),
    VatKnownError: problem_type(409, "vat-known", "A rate of VAT begins on that day already"),
    VatBilledError: problem_type(
        409, "vat-billed", "Days after that one have been billed with the VAT before"
    ),
    PriceProposalUnknownError: problems.NOT_FOUND,
    PriceDecidedError: problem_type(
        409, "proposal-decided", "The proposal was decided already, otherwise or by somebody else"
    ),
    SecondPersonError: problem_type(
        409, "second-person", "Who proposes a price does not approve it"
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
    **ACCOUNT_ERRORS,
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
    BadInstantError: problem_type(422, "bad-instant", "An export cannot speak of this instant"),
    BadSpanOfDaysError: problem_type(422, "bad-span", "These days cannot be looked at"),
    NotBalancedError: problem_type(500, "not-balanced", "The ledger does not add up to nothing"),
    RefundRefusedError: problem_type(409, "refund-refused", "This money cannot be given back"),
    BadDaysError: problem_type(422, "bad-days", "The journal of these days cannot be exported"),
    NotReconciledError: problem_type(
        409, "not-reconciled", "What would be exported is not what the ledger says"
    ),
    ExportTooLargeError: problem_type(
        413, "export-too-large", "The export is too large for one answer; use the command line"
    ),
    CursorError: problem_type(422, "cursor-unknown", "This list never gave out that place"),
    BankSilentError: problem_type(503, "bank-silent", "The bank does not answer; try again"),
    BankError: problem_type(502, "bank-trouble", "The bank does not do what we asked for"),
    BadSignatureError: problem_type(498, "bad-signature", "No secret of ours signed this body"),
    NoBankError: problem_type(503, "no-bank", "This installation talks to no bank"),
    NotReadyError: problems.UNAVAILABLE,
    **DEBIT_ERRORS,
    **RUN_ERRORS,
    **BANK_ERRORS,
}
