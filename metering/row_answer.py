"""What became of each row of an upload, out of what was decided about its telegrams."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from metering.outcome import Outcome
from metering.receipt import Answer, Result
from metering.rule import Code
from metering.telegram import RefusalReason
from metering.upload import Fault, Row
from metering.verdict import Billable, Reason, Suspect, Verdict


class RowResult(StrEnum):
    """What became of a row: all but a refused one stand in the database."""

    STORED = "stored"
    REPEATED = "repeated"
    REFUSED = "refused"
    SUSPECT = "suspect"
    FLAGGED = "flagged"


# Every reason that a row may be answered with.
RowReason = Fault | RefusalReason | Reason | Code


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAnswer:
    """What became of one row; meter and instant are None where they could not be read.

    A cell that is no meter's id is never repeated: it may be a formula.
    """

    row_no: int
    meter_id: str | None
    read_at: datetime | None
    result: RowResult
    reason: RowReason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts:
    """How many rows came to what; the five add up to the rows that were decided."""

    stored: int = 0
    repeated: int = 0
    refused: int = 0
    suspect: int = 0
    flagged: int = 0

    def __add__(self, other: "RowCounts") -> "RowCounts":
        """Add two parts up."""
        return RowCounts(
            **{
                part.name: getattr(self, part.name) + getattr(other, part.name)
                for part in fields(self)
            }
        )

    @property
    def decided(self) -> int:
        """Return how many rows these are."""
        return self.stored + self.repeated + self.refused + self.suspect + self.flagged


def count(answers: Iterable[RowAnswer]) -> RowCounts:
    """Count answers by their result."""
    times = Counter(answer.result for answer in answers)
    return RowCounts(**{result.value: times[result] for result in RowResult})


def answer_rows(rows: Sequence[Row], outcome: Outcome) -> list[RowAnswer]:
    """Return an answer for each row, out of the outcome of a batch of these rows in this order.

    A registered meter's telegrams are answered one by one, in order; nobody else's are.
    """
    told: defaultdict[str, deque[Answer]] = defaultdict(deque)
    for answer in outcome.answers:
        told[answer.meter_id].append(answer)
    verdicts = {
        (judged.reading.meter_id, judged.reading.read_at): judged.verdict
        for judged in outcome.readings
    }
    answers = []
    for row in rows:
        if row.telegram is None:
            answers.append(refused(row, row.fault))
            continue
        queue = told[row.telegram.meter_id]
        place = (row.telegram.meter_id, row.telegram.readings[0].read_at)
        if queue:
            answers.append(_answer(row, queue.popleft(), place, verdicts))
        else:
            answers.append(refused(row, RefusalReason.UNKNOWN_METER))
    return answers


def refused(row: Row, reason: RowReason | None) -> RowAnswer:
    """Return the answer to a row that was not taken."""
    assert reason is not None, "a refusal has a reason"
    return _of(row, RowResult.REFUSED, reason)


def _answer(
    row: Row,
    answer: Answer,
    place: tuple[str, datetime],
    verdicts: dict[tuple[str, datetime], Verdict],
) -> RowAnswer:
    match answer.result:
        case Result.REFUSED:
            return refused(row, answer.reason)
        case Result.REPEATED:
            return _of(row, RowResult.REPEATED)
        case Result.STORED:
            # A register that came another way, and stands there already, is not written again.
            verdict = verdicts.pop(place, None)
            return _of(row, RowResult.REPEATED) if verdict is None else _judged(row, verdict)
        case other:
            assert_never(other)


def _judged(row: Row, verdict: Verdict) -> RowAnswer:
    match verdict:
        case Suspect(reason=reason):
            return _of(row, RowResult.SUSPECT, reason)
        case Billable(findings=findings):
            if findings:
                return _of(row, RowResult.FLAGGED, findings[0].code)
            return _of(row, RowResult.STORED)
        case other:
            assert_never(other)


def _of(row: Row, result: RowResult, reason: RowReason | None = None) -> RowAnswer:
    return RowAnswer(
        row_no=row.row_no,
        meter_id=row.meter_id,
        read_at=None if row.telegram is None else row.telegram.readings[0].read_at,
        result=result,
        reason=reason,
    )
