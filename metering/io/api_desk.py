"""The operator's desk over HTTP: meters at a glance, held readings, cases."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from metering.io.desk import (
    BreaksTheLineError,
    CaseClosedError,
    CaseUnknownError,
    Decision,
    DecisionDiffersError,
    Desk,
    NotHeldError,
    ReadingUnknownError,
)
from metering.io.later_words import LaterWords, NothingToCorrectError, NotTrustedError
from metering.io.registry import LAST_INSTANT, NotInstalledError
from metering.io.route import Answer, Call, Nothing, Policy, route
from metering.io.wire_desk import (
    CasePage,
    CasePath,
    CaseQuery,
    CaseShown,
    CorrectionShown,
    DecisionShown,
    HeldPage,
    HeldPath,
    HeldQuery,
    HeldShown,
    MeterSurveyedShown,
    NewAcceptance,
    NewClosing,
    NewCorrection,
    NewReplacement,
    SurveyPage,
    SurveyQuery,
)

_DECIDING: Final = (
    ReadingUnknownError,
    NotHeldError,
    DecisionDiffersError,
    NotInstalledError,
    BreaksTheLineError,
)
_CORRECTING: Final = (
    ReadingUnknownError,
    NotTrustedError,
    NothingToCorrectError,
    NotInstalledError,
    BreaksTheLineError,
)
_NO_CASE: Final = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskApi:
    """The routes of the operator's desk."""

    desk: Desk
    later_words: LaterWords

    @route(
        "GET",
        "/v1/meters/overview",
        policy=Policy.OPERATOR,
        summary="Survey the meters",
        tag="desk",
    )
    async def survey_meters(self, call: Call[Nothing, SurveyQuery, Nothing]) -> SurveyPage:
        """List meters with their last contact and what of them waits for a person.

        With gaps=true a page may hold fewer than asked for; go on while next is not null.
        """
        meters, following = await self.desk.survey(
            after=call.query.after or "",
            page=call.query.limit,
            gaps_only=call.query.gaps,
            at=call.at,
        )
        return SurveyPage(
            meters=[MeterSurveyedShown.model_validate(it, from_attributes=True) for it in meters],
            next=following,
        )

    @route(
        "GET",
        "/v1/readings/held",
        policy=Policy.OPERATOR,
        summary="List held readings",
        tag="desk",
    )
    async def list_held_readings(self, call: Call[Nothing, HeldQuery, Nothing]) -> HeldPage:
        """List suspect readings that nobody has decided on, the newest first."""
        held = await self.desk.held(
            before=call.query.before or LAST_INSTANT,
            before_meter=call.query.before_meter or "",
            page=call.query.limit,
        )
        last = held[-1] if len(held) == call.query.limit else None
        return HeldPage(
            readings=[HeldShown.model_validate(it, from_attributes=True) for it in held],
            next_before=None if last is None else last.read_at,
            next_before_meter=None if last is None else last.meter_id,
        )

    @route(
        "POST",
        "/v1/meters/{meter_id}/readings/{read_at}/accept",
        policy=Policy.OPERATOR,
        summary="Accept a held reading",
        tag="desk",
        status=201,
        repeat_status=200,
        raises=_DECIDING,
    )
    async def accept_reading(
        self, call: Call[HeldPath, Nothing, NewAcceptance]
    ) -> Answer[DecisionShown]:
        """Say that a held reading is right as it came; the same again changes nothing."""
        return _decided(
            *await self.desk.decide(
                call.path.meter_id,
                call.path.read_at,
                register_dm3=None,
                because=call.body.because,
                decided_by=call.signature,
                at=call.at,
            )
        )

    @route(
        "POST",
        "/v1/meters/{meter_id}/readings/{read_at}/replace",
        policy=Policy.OPERATOR,
        summary="Replace a held reading",
        tag="desk",
        status=201,
        repeat_status=200,
        raises=_DECIDING,
    )
    async def replace_reading(
        self, call: Call[HeldPath, Nothing, NewReplacement]
    ) -> Answer[DecisionShown]:
        """Say which register to use instead of a held one; the reading stays as it came."""
        return _decided(
            *await self.desk.decide(
                call.path.meter_id,
                call.path.read_at,
                register_dm3=call.body.register_dm3,
                because=call.body.because,
                decided_by=call.signature,
                at=call.at,
            )
        )

    @route(
        "POST",
        "/v1/meters/{meter_id}/readings/{read_at}/correct",
        policy=Policy.OPERATOR,
        summary="Correct a trusted reading",
        tag="desk",
        status=201,
        repeat_status=200,
        raises=_CORRECTING,
    )
    async def correct_reading(
        self, call: Call[HeldPath, Nothing, NewCorrection]
    ) -> Answer[CorrectionShown]:
        """Say what a register should have been, also one on bills; the reading stays as it came.

        Bills that quote it are cancelled and issued anew, or adjusted on the next one.
        """
        made, fresh = await self.later_words.correct(
            call.path.meter_id,
            call.path.read_at,
            register_dm3=call.body.register_dm3,
            fault=call.body.fault,
            because=call.body.because,
            decided_by=call.signature,
            at=call.at,
        )
        return Answer(body=CorrectionShown.model_validate(made, from_attributes=True), fresh=fresh)

    @route("GET", "/v1/cases", policy=Policy.OPERATOR, summary="List cases", tag="desk")
    async def list_cases(self, call: Call[Nothing, CaseQuery, Nothing]) -> CasePage:
        """List the cases that are open, or those that are closed, the newest first."""
        cases = await self.desk.cases(
            closed=call.query.state == "closed",
            before=call.query.before or LAST_INSTANT,
            before_case=call.query.before_case or _NO_CASE,
            page=call.query.limit,
        )
        last = cases[-1] if len(cases) == call.query.limit else None
        return CasePage(
            cases=[CaseShown.model_validate(it, from_attributes=True) for it in cases],
            next_before=None if last is None else last.opened_at,
            next_before_case=None if last is None else last.case_id,
        )

    @route(
        "POST",
        "/v1/cases/{meter_id}/{case_id}/close",
        policy=Policy.OPERATOR,
        summary="Close a case",
        tag="desk",
        status=201,
        repeat_status=200,
        raises=(CaseUnknownError, CaseClosedError),
    )
    async def close_case(self, call: Call[CasePath, Nothing, NewClosing]) -> Answer[CaseShown]:
        """Say what came out of a case; the same again changes nothing."""
        case, fresh = await self.desk.close(
            call.path.meter_id,
            call.path.case_id,
            outcome=call.body.outcome,
            closed_by=call.signature,
            at=call.at,
        )
        return Answer(body=CaseShown.model_validate(case, from_attributes=True), fresh=fresh)


def _decided(decision: Decision, fresh: bool) -> Answer[DecisionShown]:  # noqa: FBT001 - a pair
    return Answer(body=DecisionShown.model_validate(decision, from_attributes=True), fresh=fresh)
