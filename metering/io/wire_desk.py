"""What the operator's desk looks like on the wire of the API."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from metering.io.route import TEXT_PATTERN, Instant, MeterId, PageSize, Wire
from metering.io.wire import MeterPath, MeterQuery, RegisterDm3

Sentence = Annotated[str, Field(min_length=1, max_length=500, pattern=TEXT_PATTERN)]


class MeterSurveyedShown(Wire):
    """A meter, when it last spoke and what of it waits for a person."""

    meter_id: MeterId
    state: str
    last_contact_at: Instant | None
    flags: Annotated[list[str] | None, Field(description="what its newest telegram warned of")]
    battery_low: Annotated[
        bool | None, Field(description="whether that was among it; null before it ever spoke")
    ]
    missing_days: Annotated[
        int, Field(description="days without a register nobody explained, of the last 31")
    ]
    last_read_at: Instant | None
    last_register_dm3: int | None
    held_readings: int
    open_cases: int
    held_findings: Annotated[int, Field(description="findings that wait for a person")]
    flagged_findings: int


class SurveyQuery(MeterQuery):
    """Which page of the meters; with gaps, only of those that have missing days."""

    gaps: bool = False


class SurveyPage(Wire):
    """Meters in the order of their ids."""

    meters: list[MeterSurveyedShown]
    next: str | None


class MarkShown(Wire):
    """A trusted register, and how often the dial had passed zero."""

    read_at: Instant
    register_dm3: int
    turns: int


class HeldShown(Wire):
    """A suspect reading that nobody decided on; before and after are null where none is known."""

    meter_id: MeterId
    read_at: Instant
    register_dm3: int
    reason: str
    received_at: Instant
    before: MarkShown | None
    after: MarkShown | None


class HeldPage(Wire):
    """Held readings, the newest first; the next page begins before the last of these."""

    readings: list[HeldShown]
    next_before: Instant | None
    next_before_meter: str | None


class HeldQuery(Wire):
    """Which page of the held readings."""

    before: Instant | None = None
    before_meter: MeterId | None = None
    limit: PageSize = 100


class HeldPath(MeterPath):
    """One reading of one meter."""

    read_at: Instant


class NewAcceptance(Wire):
    """Why a held reading is right as it came."""

    because: Sentence


class NewReplacement(Wire):
    """The register to use instead of a held one, and why."""

    because: Sentence
    register_dm3: RegisterDm3


class DecisionShown(Wire):
    """A person's word on a held reading."""

    meter_id: MeterId
    read_at: Instant
    decision: str
    register_dm3: int
    turns: int
    decided_by: str
    because: str
    decided_at: Instant


class NewCorrection(Wire):
    """What a trusted register should have been, whose fault it was, and why."""

    because: Sentence
    register_dm3: RegisterDm3
    fault: Annotated[
        Literal["ours", "resident"],
        Field(description="whose fault it was: old gas is not charged where it was ours"),
    ] = "ours"


class CorrectionShown(Wire):
    """A person's later word on a trusted register; bills that quote it are looked at again."""

    meter_id: MeterId
    read_at: Instant
    revision: int
    register_dm3: int
    turns: int
    fault: str
    decided_by: str
    because: str
    decided_at: Instant


class CasePath(MeterPath):
    """One case of one meter."""

    case_id: UUID


class CaseQuery(Wire):
    """Which page of the cases."""

    state: Literal["open", "closed"] = "open"
    before: Instant | None = None
    before_case: UUID | None = None
    limit: PageSize = 100


class NewClosing(Wire):
    """What came out of a case."""

    outcome: Sentence


class CaseShown(Wire):
    """A question about a meter, and its answer once it is closed."""

    meter_id: MeterId
    case_id: UUID
    kind: str
    detail: str
    opened_at: Instant
    closed_at: Instant | None
    closed_by: str | None
    outcome: str | None


class CasePage(Wire):
    """Cases, the newest first; the next page begins before the last of these."""

    cases: list[CaseShown]
    next_before: Instant | None
    next_before_case: UUID | None
