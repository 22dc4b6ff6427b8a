"""Held bills over HTTP: operators release them; operators and residents question a month."""

from dataclasses import dataclass

from billing.io.accounts import AccountUnknownError
from billing.io.drafts import Drafts
from billing.io.holds import (
    HoldDiffersError,
    HoldNotReleasableError,
    Holds,
    HoldUnknownError,
    MonthBilledError,
    Question,
    QuestionAnsweredError,
    QuestionUnknownError,
    TooManyQuestionsError,
)
from billing.io.wire import AccountPath
from billing.io.wire_holds import (
    MonthPath,
    NewAnswer,
    NewQuestion,
    NewRelease,
    QuestionList,
    QuestionPath,
    QuestionShown,
    ReleaseShown,
)
from billing.io.wire_preview import MonthOnly, PreviewShown, preview_shown
from billing.period import Period
from billing.preview import preview
from billing.reconcile import PeriodNotOverError
from metering.io.route import Answer, Call, Nothing, Policy, Role, route


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldApi:
    """The routes of bills that are not issued yet."""

    holds: Holds
    drafts: Drafts
    zone: str

    @route(
        "POST",
        "/v1/accounts/{account_id}/months/{period}/release",
        policy=Policy.OPERATOR,
        summary="Release an unusual bill",
        tag="bills",
        status=201,
        repeat_status=200,
        raises=(
            AccountUnknownError,
            MonthBilledError,
            HoldUnknownError,
            HoldNotReleasableError,
            HoldDiffersError,
        ),
    )
    async def release_bill(
        self, call: Call[MonthPath, Nothing, NewRelease]
    ) -> Answer[ReleaseShown]:
        """Let a bill go out that is far above the account's habit; the next run issues it.

        The word counts for the total that was seen. The same word again changes nothing.
        """
        release, fresh = await self.holds.release(
            call.path.account_id,
            Period.parse(call.path.period),
            total_minor=call.body.total_minor,
            because=call.body.because,
            released_by=call.signature,
            at=call.at,
        )
        return Answer(body=ReleaseShown.model_validate(release, from_attributes=True), fresh=fresh)

    @route(
        "POST",
        "/v1/accounts/{account_id}/months/{period}/questions",
        policy=Policy.ACCOUNT,
        summary="Question a month that has no bill yet",
        tag="bills",
        status=201,
        repeat_status=200,
        raises=(AccountUnknownError, MonthBilledError, TooManyQuestionsError),
    )
    async def question_month(
        self, call: Call[MonthPath, Nothing, NewQuestion]
    ) -> Answer[QuestionShown]:
        """Ask that a month is looked at before its bill; the bill waits for the answer."""
        assert call.caller is not None, "the policy wants a caller"
        resident = call.caller.role is Role.RESIDENT
        question, fresh = await self.holds.question(
            call.path.account_id,
            Period.parse(call.path.period),
            because=call.body.because,
            asked_by="the resident" if resident else call.caller.label,
            at=call.at,
        )
        return Answer(body=_shown(question), fresh=fresh)

    @route(
        "POST",
        "/v1/accounts/{account_id}/months/{period}/questions/{question_no}/answer",
        policy=Policy.OPERATOR,
        summary="Answer a question about a month",
        tag="bills",
        status=201,
        repeat_status=200,
        raises=(AccountUnknownError, QuestionUnknownError, QuestionAnsweredError),
    )
    async def answer_question(
        self, call: Call[QuestionPath, Nothing, NewAnswer]
    ) -> Answer[QuestionShown]:
        """Answer a question, for the resident to read; the next run takes the month up again."""
        question, fresh = await self.holds.close(
            call.path.account_id,
            Period.parse(call.path.period),
            call.path.question_no,
            because=call.body.because,
            answered_by=call.signature,
            at=call.at,
        )
        return Answer(body=_shown(question), fresh=fresh)

    @route(
        "GET",
        "/v1/accounts/{account_id}/questions",
        policy=Policy.ACCOUNT,
        summary="List the questions about an account's months",
        tag="bills",
        raises=(AccountUnknownError,),
    )
    async def list_questions(self, call: Call[AccountPath, Nothing, Nothing]) -> QuestionList:
        """List what was asked about months before their bills, and the answers."""
        found = await self.holds.questions(call.path.account_id)
        return QuestionList(questions=[_shown(one) for one in found])

    @route(
        "GET",
        "/v1/months/{period}/preview",
        policy=Policy.OPERATOR,
        summary="Show what the run of a month would do",
        tag="bills",
        raises=(PeriodNotOverError,),
    )
    async def preview_month(self, call: Call[MonthOnly, Nothing, Nothing]) -> PreviewShown:
        """Rehearse the run of a month and add it up, beside the month before; write nothing."""
        made = await preview(
            store=self.drafts, period=Period.parse(call.path.period), at=call.at, zone=self.zone
        )
        return preview_shown(made)


def _shown(question: Question) -> QuestionShown:
    return QuestionShown.model_validate(question, from_attributes=True)
