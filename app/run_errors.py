"""What the billing run and its holds refuse, and what the caller is told."""

from collections.abc import Mapping
from typing import Final

from app import problems
from app.problems import ProblemType, problem_type
from billing.io.holds import (
    DisputeClosedError,
    DisputeUnknownError,
    HoldDiffersError,
    HoldNotReleasableError,
    HoldUnknownError,
    MonthBilledError,
    TooManyDisputesError,
)

RUN_ERRORS: Final[Mapping[type[Exception], ProblemType]] = {
    HoldUnknownError: problems.NOT_FOUND,
    HoldNotReleasableError: problem_type(
        409, "not-releasable", "The bill is held for something else than its amount"
    ),
    HoldDiffersError: problem_type(
        409, "hold-differs", "The bill would ask for another total than was seen"
    ),
    MonthBilledError: problem_type(409, "month-billed", "The account has a bill for this month"),
    DisputeUnknownError: problems.NOT_FOUND,
    DisputeClosedError: problem_type(
        409, "dispute-closed", "The question was answered already, otherwise"
    ),
    TooManyDisputesError: problem_type(409, "disputes-full", "The month was questioned too often"),
}
