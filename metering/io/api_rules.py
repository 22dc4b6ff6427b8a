"""The rules of belief over HTTP: which are in force, a town's own words, temperatures, findings."""

from dataclasses import dataclass
from datetime import date, timedelta

from metering.gaps import Calendar
from metering.io.found import (
    FindingAsked,
    FindingDesk,
    FindingNotHeldError,
    FindingUnknownError,
)
from metering.io.levels import Confirmation, Levels, NotConsistentError, ProposalDiffersError
from metering.io.registry import (
    LAST_INSTANT,
    AlreadyMeasuredError,
    MeterUnknownError,
    NotInstalledError,
)
from metering.io.route import Answer, Call, Nothing, Policy, route
from metering.io.rules import Order, OverrideKnownError, OverrideRefusedError, Rules, taken
from metering.io.wire import MeterPath
from metering.io.wire_rules import (
    DAYS_MAX,
    DegreeDayQuery,
    DegreeDayShown,
    DegreeDaysShown,
    DegreeDaysTaken,
    FindingPage,
    FindingPath,
    FindingQuery,
    FindingShown,
    LevelShown,
    NewDecision,
    NewDegreeDays,
    NewOverride,
    NewRebaseline,
    OverrideShown,
    RebaselineShown,
    RuleQuery,
    RuleShown,
    RulesShown,
    finding_shown,
)
from metering.rule import MeterType, Override, OverrideReason, RuleBook, in_force, rule_book


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleApi:
    """The routes of the rules and their findings."""

    rules: Rules
    findings: FindingDesk
    calendar: Calendar

    @route(
        "GET",
        "/v1/rules",
        policy=Policy.OPERATOR,
        summary="List the rules in force",
        tag="rules",
        raises=(OverrideRefusedError,),
    )
    async def list_rules(self, call: Call[Nothing, RuleQuery, Nothing]) -> RulesShown:
        """List the rules for a type of meter on a local day, and where their figures come from."""
        if call.query.meter_type not in list(MeterType):
            raise OverrideRefusedError(OverrideReason.UNKNOWN_METER_TYPE.value)
        kind = MeterType(call.query.meter_type)
        day = call.query.day or self.calendar.day_of(call.at)
        overrides = await self.rules.overrides()
        return rules_shown(
            rule_book(kind, overrides, on=day), in_force(kind, overrides, on=day), day=day
        )

    @route(
        "POST",
        "/v1/rules/overrides",
        policy=Policy.OPERATOR,
        summary="Override a rule",
        tag="rules",
        status=201,
        repeat_status=200,
        raises=(OverrideRefusedError, OverrideKnownError),
    )
    async def override_rule(
        self, call: Call[Nothing, Nothing, NewOverride]
    ) -> Answer[OverrideShown]:
        """Set figures or the outcome of a rule from a local day on; repeated, nothing changes."""
        override = taken(
            Order(**call.body.model_dump()),
            from_at=self.calendar.midnight(call.body.valid_from),
            today=self.calendar.day_of(call.at),
        )
        fresh = await self.rules.add_override(override, at=call.at)
        return Answer(body=_override_shown(override), fresh=fresh)

    @route(
        "POST",
        "/v1/degree-days",
        policy=Policy.OPERATOR,
        summary="Note how cold days were",
        tag="rules",
    )
    async def note_degree_days(
        self, call: Call[Nothing, Nothing, NewDegreeDays]
    ) -> DegreeDaysTaken:
        """Note temperatures; a day noted otherwise gets a revision, the same again is no news."""
        days = {one.day: one.degree_days_tenths for one in call.body.days}
        news = await self.rules.note_degree_days(days, source=call.body.source, at=call.at)
        return DegreeDaysTaken(days=len(days), news=news)

    @route(
        "GET",
        "/v1/degree-days",
        policy=Policy.OPERATOR,
        summary="List how cold days were",
        tag="rules",
    )
    async def list_degree_days(
        self, call: Call[Nothing, DegreeDayQuery, Nothing]
    ) -> DegreeDaysShown:
        """List the newest note of each day that is known."""
        first = call.query.from_day
        last = min(
            call.query.to_day, first + timedelta(days=min(DAYS_MAX, (date.max - first).days))
        )
        found = await self.rules.degree_days(first, last)
        return DegreeDaysShown(
            days=[DegreeDayShown.model_validate(one, from_attributes=True) for one in found]
        )

    @route("GET", "/v1/findings", policy=Policy.OPERATOR, summary="List findings", tag="rules")
    async def list_findings(self, call: Call[Nothing, FindingQuery, Nothing]) -> FindingPage:
        """List what the rules found about readings and periods, the newest first."""
        query = call.query
        day = query.day
        found = await self.findings.findings(
            FindingAsked(
                meter_id=query.meter,
                outcome=query.outcome,
                state=query.state,
                from_at=None if day is None else self.calendar.midnight(day),
                to_at=None if day is None else self.calendar.midnight(day + timedelta(days=1)),
                month=None if day is None else day.replace(day=1),
            ),
            before=(
                query.before or LAST_INSTANT,
                query.before_meter or "",
                bytes.fromhex(query.before_finding or ""),
            ),
            page=query.limit,
        )
        last = found[-1] if len(found) == query.limit else None
        return FindingPage(
            findings=[finding_shown(one) for one in found],
            next_before=None if last is None else last.found_at,
            next_before_meter=None if last is None else last.meter_id,
            next_before_finding=None if last is None else last.digest.hex(),
        )

    @route(
        "POST",
        "/v1/findings/{meter_id}/{finding_id}/decide",
        policy=Policy.OPERATOR,
        summary="Let a held finding stand",
        tag="rules",
        status=201,
        repeat_status=200,
        raises=(FindingUnknownError, FindingNotHeldError),
    )
    async def decide_finding(
        self, call: Call[FindingPath, Nothing, NewDecision]
    ) -> Answer[FindingShown]:
        """Say why what was found may stand; the first word is final and changes no reading."""
        assert call.caller is not None, "this route is operators'"
        found, fresh = await self.findings.decide(
            call.path.meter_id,
            bytes.fromhex(call.path.finding_id),
            because=call.body.because,
            decided_by=call.caller.label,
            at=call.at,
        )
        return Answer(body=finding_shown(found), fresh=fresh)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelApi:
    """The routes of meters that go on at another level."""

    levels: Levels
    calendar: Calendar

    @route(
        "GET",
        "/v1/meters/{meter_id}/rebaseline",
        policy=Policy.OPERATOR,
        summary="Show the level that refused readings agree on",
        tag="rules",
        raises=(MeterUnknownError, NotInstalledError, NotConsistentError),
    )
    async def show_level(self, call: Call[MeterPath, Nothing, Nothing]) -> LevelShown:
        """Show what a person would confirm: the last trusted register and the new level."""
        level = await self.levels.proposed(call.path.meter_id, today=self.calendar.day_of(call.at))
        return LevelShown.model_validate(level, from_attributes=True)

    @route(
        "POST",
        "/v1/meters/{meter_id}/rebaseline",
        policy=Policy.OPERATOR,
        summary="Let a meter go on at another level",
        tag="rules",
        status=201,
        repeat_status=200,
        raises=(
            MeterUnknownError,
            NotInstalledError,
            NotConsistentError,
            ProposalDiffersError,
            AlreadyMeasuredError,
        ),
    )
    async def rebaseline_meter(
        self, call: Call[MeterPath, Nothing, NewRebaseline]
    ) -> Answer[RebaselineShown]:
        """End the meter's stay and begin another at the level that was shown, in one instant."""
        assert call.caller is not None, "this route is operators'"
        said = Confirmation(**call.body.model_dump(), decided_by=call.caller.label)
        made, fresh = await self.levels.confirm(
            call.path.meter_id, said, today=self.calendar.day_of(call.at), at=call.at
        )
        return Answer(body=RebaselineShown.model_validate(made, from_attributes=True), fresh=fresh)


def rules_shown(book: RuleBook, overrides: list[Override], *, day: date) -> RulesShown:
    """Show a book of rules beside the overrides it was made from."""
    rules = []
    for rule in sorted(book.rules.values(), key=lambda one: one.number):
        words = [one for one in overrides if one.code is rule.code]
        rules.append(
            RuleShown(
                rule_no=rule.number,
                code=rule.code.value,
                version=rule.version,
                outcome=rule.outcome.value,
                figures=dict(rule.figures),
                source="override" if words else "default",
                overrides=[_override_shown(one) for one in words],
            )
        )
    return RulesShown(meter_type=book.meter_type.value, day=day, rules=rules)


def _override_shown(override: Override) -> OverrideShown:
    return OverrideShown(
        code=override.code.value,
        meter_type=override.meter_type.value if override.meter_type else None,
        valid_from=override.valid_from,
        outcome=override.outcome.value if override.outcome else None,
        figures=dict(override.figures),
        approved_by=override.approved_by,
    )
