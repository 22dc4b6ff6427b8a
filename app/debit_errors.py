"""What a caller is told of mistakes about debits; a part of errors.py's table."""

from collections.abc import Mapping
from typing import Final

from app import problems
from app.problems import ProblemType, problem_type
from billing.approve import AmountDiffersError, NoSuchDebitError, NotApprovableError
from billing.decide import NotInReviewError, NotLegalError
from billing.stop_debit import DebitOverError, DebitTooLateError

DEBIT_ERRORS: Final[Mapping[type[Exception], ProblemType]] = {
    NoSuchDebitError: problems.NOT_FOUND,
    NotApprovableError: problem_type(
        409, "debit-not-approvable", "The debit does not wait for the resident's word"
    ),
    NotInReviewError: problem_type(409, "not-in-review", "The debit does not wait for a person"),
    NotLegalError: problem_type(
        409, "decision-not-legal", "What the bank shows of the debit does not allow this"
    ),
    DebitTooLateError: problem_type(
        409,
        "debit-too-late",
        "The bank has passed the debit on; your bank, or a refund, gives money back",
    ),
    DebitOverError: problem_type(409, "debit-over", "The debit is over; there is nothing to stop"),
    AmountDiffersError: problem_type(
        409, "debit-differs", "The debit is for another amount than was seen"
    ),
}
