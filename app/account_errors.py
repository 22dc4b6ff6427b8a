"""What a caller is told of mistakes about accounts; a part of errors.py's table."""

from collections.abc import Mapping
from typing import Final

from app import problems
from app.problems import ProblemType, problem_type
from billing.contact import BadAddressError
from billing.io.final import AccountOpenError
from billing.io.moves import (
    ClosingDiffersError,
    DialTurnedError,
    GasUnclaimedError,
    MoveDayError,
    NoRegisterError,
    NotAtAccountError,
    StillOccupiedError,
)
from billing.io.penalty_desk import (
    DisputeDayError,
    DisputeOpenError,
    NotDisputedError,
)
from billing.io.records import BillUnknownError
from billing.io.terms import TermsBilledError
from billing.io.vouchers import (
    VoucherDiffersError,
    VoucherRevokedError,
    VoucherSpentError,
    VoucherUnknownError,
    VoucherUnusableError,
)
from metering.io.api import AccountClosedError

ACCOUNT_ERRORS: Final[Mapping[type[Exception], ProblemType]] = {
    BadAddressError: problem_type(422, "bad-address", "No mail can be sent to such an address"),
    BillUnknownError: problems.NOT_FOUND,
    DisputeOpenError: problem_type(
        409, "dispute-open", "The bill is in dispute already, with other words"
    ),
    NotDisputedError: problem_type(409, "not-disputed", "The bill is in no dispute"),
    DisputeDayError: problem_type(
        422, "dispute-day", "A dispute begins today or before, after the one before it"
    ),
    TermsBilledError: problem_type(
        409, "terms-billed", "That day stands on a bill of the account already"
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
    AccountClosedError: problem_type(409, "account-closed", "The account has ended"),
    AccountOpenError: problem_type(409, "account-open", "Nobody has moved out of the account"),
    ClosingDiffersError: problem_type(
        409, "closing-differs", "The account ended already, but differently"
    ),
    StillOccupiedError: problem_type(
        409, "still-occupied", "The meter hangs at an account that has not moved out"
    ),
    GasUnclaimedError: problem_type(
        409, "gas-unclaimed", "Gas went through the meter since the last account ended"
    ),
    DialTurnedError: problem_type(
        409, "dial-turned", "The dial began anew before the move, and later readings are there"
    ),
    MoveDayError: problem_type(
        422, "move-day", "The day is not over, in the future, or before what is known"
    ),
    NoRegisterError: problem_type(
        422, "no-register", "A meter was not read on the last day; enter what it showed"
    ),
    NotAtAccountError: problem_type(
        422, "not-at-account", "A register belongs to no meter that hangs at the account"
    ),
}
