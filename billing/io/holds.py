"""What keeps bills from being issued, in PostgreSQL, and how people answer it.

    anomalous --release--> the next run issues it, up to the total that was seen
    disputed  --close----> the next run asks again

Whoever speaks holds the account's row, as the run does while it bills it: a word comes before the
bill, and counts, or after it, and is refused.
"""

import json
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

import asyncpg
import structlog

import sql
from billing.bill import Hold, HoldReason
from billing.io.accounts import AccountUnknownError
from billing.outsorting import Outsorting, OutsortingWord, in_force
from billing.period import Period

_Q: Final = sql.queries("holds")

# Questions about one month of one account; more is no question any more.
QUESTIONS_MAX: Final = 20

log: Final = structlog.get_logger()


class HoldUnknownError(Exception):
    """Nothing holds a bill of this account for this month."""


class HoldNotReleasableError(Exception):
    """No word of a person releases this bill: what it lacks must come."""


class HoldDiffersError(Exception):
    """The bill would ask for another total than the one that was seen."""


class MonthBilledError(Exception):
    """The account has a bill for this month already."""


class QuestionUnknownError(Exception):
    """The account has no such question."""


class QuestionAnsweredError(Exception):
    """The question was answered already, otherwise."""


class TooManyQuestionsError(Exception):
    """The month has been questioned too often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A person's word that an unusual bill may go out, up to a total in minor units."""

    release_no: int
    total_minor: int
    because: str
    released_by: str
    released_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question about a month that has no bill yet, and its answer."""

    period_start: date
    question_no: int
    because: str
    asked_by: str
    asked_at: datetime
    answer: str | None
    answered_by: str | None
    answered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """Holds, releases and questions; works with the service's rights."""

    pool: asyncpg.Pool

    async def release(  # noqa: PLR0913 - who, what, why
        self,
        account_id: str,
        period: Period,
        *,
        total_minor: int,
        because: str,
        released_by: str,
        at: datetime,
    ) -> tuple[Release, bool]:
        """Let an unusual bill go out up to the total that was seen; False when that was said.

        The next run issues it. Should it come to more by then, it is held again.

        Raises:
            AccountUnknownError: no account has this id.
            MonthBilledError: the bill was issued.
            HoldUnknownError: nothing holds the bill.
            HoldNotReleasableError: it is held for something else than its amount.
            HoldDiffersError: the total is another by now.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await _locked(conn, account_id)
            said = [
                Release(**dict(row))
                async for row in _Q.list_releases(
                    conn, account_id=account_id, period_start=period.start
                )
            ]
            for known in said:
                if (known.total_minor, known.because) == (total_minor, because):
                    return known, False
            await _not_billed(conn, account_id, period)
            row = await _Q.find_hold(conn, account_id=account_id, period_start=period.start)
            if row is None:
                raise HoldUnknownError("nothing holds a bill of this account for this month")
            hold = hold_of(row)
            if hold.reason is not HoldReason.ANOMALOUS:
                raise HoldNotReleasableError(f"the bill is held for {hold.reason.value}")
            if hold.detail["total_minor"] != total_minor:
                raise HoldDiffersError(f"the bill would ask for {hold.detail['total_minor']}")
            made = Release(
                release_no=await _Q.add_release(
                    conn,
                    account_id=account_id,
                    period_start=period.start,
                    total_minor=total_minor,
                    because=because,
                    released_by=released_by,
                    at=at,
                ),
                total_minor=total_minor,
                because=because,
                released_by=released_by,
                released_at=at,
            )
        log.info("hold.released", account_id=account_id, period=period.label)
        return made, True

    async def question(
        self, account_id: str, period: Period, *, because: str, asked_by: str, at: datetime
    ) -> tuple[Question, bool]:
        """Question a month that has no bill yet; False when an open question says the same.

        Raises:
            AccountUnknownError: no account has this id.
            MonthBilledError: the bill was issued; this is not how to question it.
            TooManyQuestionsError: the month was questioned too often.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await _locked(conn, account_id)
            await _not_billed(conn, account_id, period)
            said = [
                one
                for one in await _questions(conn, account_id)
                if one.period_start == period.start
            ]
            for known in said:
                if known.answered_at is None and known.because == because:
                    return known, False
            if len(said) >= QUESTIONS_MAX:
                raise TooManyQuestionsError(f"the month was questioned {QUESTIONS_MAX} times")
            number = await _Q.ask_question(
                conn,
                account_id=account_id,
                period_start=period.start,
                because=because,
                asked_by=asked_by,
                at=at,
            )
        log.info("question.asked", account_id=account_id, period=period.label)
        opened = Question(
            period_start=period.start,
            question_no=number,
            because=because,
            asked_by=asked_by,
            asked_at=at,
            answer=None,
            answered_by=None,
            answered_at=None,
        )
        return opened, True

    async def close(  # noqa: PLR0913 - which question, what, who
        self,
        account_id: str,
        period: Period,
        question_no: int,
        *,
        because: str,
        answered_by: str,
        at: datetime,
    ) -> tuple[Question, bool]:
        """Answer a question; the next run takes the month up. False when that was said before.

        Raises:
            AccountUnknownError: no account has this id.
            QuestionUnknownError: there is no such question.
            QuestionAnsweredError: it was answered otherwise.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await _locked(conn, account_id)
            known = next(
                (
                    one
                    for one in await _questions(conn, account_id)
                    if (one.period_start, one.question_no) == (period.start, question_no)
                ),
                None,
            )
            if known is None:
                raise QuestionUnknownError("the account has no such question")
            if known.answer == because:
                return known, False
            if known.answer is not None:
                raise QuestionAnsweredError("the question was answered otherwise")
            await _Q.answer_question(
                conn,
                account_id=account_id,
                period_start=period.start,
                question_no=question_no,
                because=because,
                answered_by=answered_by,
                at=at,
            )
        log.info("question.answered", account_id=account_id, period=period.label)
        return replace(known, answer=because, answered_by=answered_by, answered_at=at), True

    async def questions(self, account_id: str) -> tuple[Question, ...]:
        """Return the questions about an account's months, the newest month first.

        Raises:
            AccountUnknownError: no account has this id.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await _locked(conn, account_id)
            return await _questions(conn, account_id)

    async def outsorting(self) -> tuple[OutsortingWord, ...]:
        """Return what the town said about which bills a person looks at first."""
        async with self.pool.acquire() as conn:
            return await _words(conn)

    async def say_outsorting(
        self, figures: Outsorting, *, valid_from: date, approved_by: str, at: datetime
    ) -> OutsortingWord:
        """Say the figures for bills of months that begin on a day or later."""
        async with self.pool.acquire() as conn, conn.transaction():
            await _Q.lock_outsorting(conn)
            revision = await _Q.add_outsorting(
                conn,
                valid_from=valid_from,
                high_percent=figures.high_percent,
                floor_minor=figures.floor_minor,
                months_back=figures.months_back,
                first_minor=figures.first_minor,
                approved_by=approved_by,
                at=at,
            )
        return OutsortingWord(
            valid_from=valid_from,
            revision=revision,
            figures=figures,
            approved_by=approved_by,
            entered_at=at,
        )


def hold_of(row: asyncpg.Record) -> Hold:
    """Return what holds a bill."""
    return Hold(
        account_id=row["account_id"],
        period_start=row["period_start"],
        reason=HoldReason(row["reason"]),
        meter_id=row["meter_id"],
        noted_at=row["noted_at"],
        detail=json.loads(row["detail"]),
    )


async def outsorting_as_json(connection: asyncpg.Connection, period: Period) -> str:
    """Return the figures in force for a month, as the run's statement reads them."""
    return json.dumps(in_force(await _words(connection), period).for_period(period))


async def _words(conn: asyncpg.Connection) -> tuple[OutsortingWord, ...]:
    return tuple(
        [
            OutsortingWord(
                valid_from=row["valid_from"],
                revision=row["revision"],
                figures=Outsorting(
                    high_percent=row["high_percent"],
                    floor_minor=row["floor_minor"],
                    months_back=row["months_back"],
                    first_minor=row["first_minor"],
                ),
                approved_by=row["approved_by"],
                entered_at=row["entered_at"],
            )
            async for row in _Q.list_outsorting(conn)
        ]
    )


async def _locked(conn: asyncpg.Connection, account_id: str) -> None:
    if await _Q.lock_account(conn, account_id=account_id) is None:
        raise AccountUnknownError


async def _not_billed(conn: asyncpg.Connection, account_id: str, period: Period) -> None:
    if await _Q.has_bill(conn, account_id=account_id, period_start=period.start):
        raise MonthBilledError(f"the account has a bill for {period.label}")


async def _questions(conn: asyncpg.Connection, account_id: str) -> tuple[Question, ...]:
    rows = _Q.list_questions(conn, account_id=account_id)
    return tuple([Question(**dict(row)) async for row in rows])
