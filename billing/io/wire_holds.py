"""What holds, releases and questions look like on the wire of the API."""

from datetime import date
from typing import Annotated

from pydantic import Field

from billing.io.wire import AccountPath, Minor, Month
from metering.io.route import Instant, Wire
from metering.io.wire_desk import Sentence

# More than any bill: a typing error.
TOTAL_MINOR_MAX = 1_000_000_000_000_000


class MonthPath(AccountPath):
    """One month of one account."""

    period: Month


class NewRelease(Wire):
    """Which total was seen, and why it may go out."""

    total_minor: Annotated[
        int,
        Field(
            ge=0,
            le=TOTAL_MINOR_MAX,
            description="the total that the hold shows; a bill of more is held again",
        ),
    ]
    because: Sentence


class ReleaseShown(Wire):
    """A person's word that an unusual bill may go out; the next run issues it."""

    release_no: int
    total_minor: Minor
    because: str
    released_by: str
    released_at: Instant


class NewQuestion(Wire):
    """Why a month without a bill is questioned."""

    because: Sentence


class QuestionPath(MonthPath):
    """One question about one month of one account."""

    question_no: Annotated[int, Field(ge=1, le=9999)]


class NewAnswer(Wire):
    """What a question came to."""

    because: Sentence


class QuestionShown(Wire):
    """A question about a month; its bill waits until the question is answered."""

    period_start: date
    question_no: int
    because: str
    asked_by: str
    asked_at: Instant
    answer: str | None
    answered_by: str | None
    answered_at: Instant | None


class QuestionList(Wire):
    """The questions about an account's months, the newest month first."""

    questions: list[QuestionShown]
