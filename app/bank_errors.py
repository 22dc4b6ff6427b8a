"""What a caller is told of mistakes about the reconciliation; a part of errors.py's table."""

from collections.abc import Mapping
from typing import Final

from app import problems
from app.problems import ProblemType, problem_type
from billing.io.breaks import BreakClosedError, BreakUnknownError, NotFrozenError

BANK_ERRORS: Final[Mapping[type[Exception], ProblemType]] = {
    BreakUnknownError: problems.NOT_FOUND,
    BreakClosedError: problem_type(
        409, "break-closed", "The break is closed already, by itself or with other words"
    ),
    NotFrozenError: problem_type(409, "not-frozen", "The mandate is not frozen"),
}
