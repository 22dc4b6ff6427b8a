"""What a caller is told of mistakes about vouchers and disputes; a part of web.py's table."""

from collections.abc import Mapping
from typing import Final

from app import problems
from app.problems import ProblemType, problem_type
from billing.io.penalty_desk import (
    BillUnknownError,
    DisputeDayError,
    DisputeOpenError,
    NotDisputedError,
)
from billing.io.vouchers import (
    VoucherDiffersError,
    VoucherRevokedError,
    VoucherSpentError,
    VoucherUnknownError,
    VoucherUnusableError,
)

ACCOUNT_ERRORS: Final[Mapping[type[Exception], ProblemType]] = {
    BillUnknownError: problems.NOT_FOUND,
    DisputeOpenError: problem_type(
        409, "dispute-open", "The bill is in dispute already, with other words"
    ),
    NotDisputedError: problem_type(409, "not-disputed", "The bill is in no dispute"),
    DisputeDayError: problem_type(
        422, "dispute-day", "A dispute begins today or before, after the one before it"
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
}
