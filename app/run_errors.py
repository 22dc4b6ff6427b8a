"""What the billing run and its holds refuse, and what the caller is told."""

from collections.abc import Mapping
from typing import Final

from app import problems
from app.problems import ProblemType, problem_type
from billing.breaker import SamePersonError, StopReleasedError, StopUnknownError
from billing.io.holds import (
    HoldDiffersError,
    HoldNotReleasableError,
    HoldUnknownError,
    MonthBilledError,
    QuestionAnsweredError,
    QuestionUnknownError,
    TooManyQuestionsError,
)
from billing.io.months import DraftDiffersError, MonthApprovedError, NotApprovedError
from billing.io.past import InstantAheadError
from billing.reconcile import ParallelRunError

RUN_ERRORS: Final[Mapping[type[Exception], ProblemType]] = {
    HoldUnknownError: problems.NOT_FOUND,
    HoldNotReleasableError: problem_type(
        409, "not-releasable", "The bill is held for something else than its amount"
    ),
    HoldDiffersError: problem_type(
        409, "hold-differs", "The bill would ask for another total than was seen"
    ),
    MonthBilledError: problem_type(409, "month-billed", "The account has a bill for this month"),
    QuestionUnknownError: problems.NOT_FOUND,
    QuestionAnsweredError: problem_type(
        409, "question-answered", "The question was answered already, otherwise"
    ),
    TooManyQuestionsError: problem_type(
        409, "questions-full", "The month was questioned too often"
    ),
    NotApprovedError: problem_type(
        409, "not-approved", "Nobody has approved the figures of this month"
    ),
    DraftDiffersError: problem_type(
        409, "draft-differs", "The month would ask for another total than was seen"
    ),
    MonthApprovedError: problem_type(
        409, "month-approved", "The month was approved or issued already"
    ),
    InstantAheadError: problem_type(
        422, "instant-ahead", "What will be known at an instant to come cannot be said"
    ),
    StopUnknownError: problems.NOT_FOUND,
    StopReleasedError: problem_type(
        409, "stop-released", "Two people have let this run go on already"
    ),
    SamePersonError: problem_type(
        409, "same-person", "It takes a second person to let a run go on"
    ),
    ParallelRunError: problem_type(409, "parallel-run", "A parallel run issues no bill"),
}
