"""What rules, overrides, temperatures and findings look like on the wire of the API."""

from datetime import date
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from metering.io.found import Found
from metering.io.route import TEXT_PATTERN, Day, Instant, MeterId, PageSize, Wire
from metering.io.wire import MeterPath, RegisterDm3
from metering.io.wire_desk import Sentence
from metering.rule import APPROVED_BY_CHARS_MAX

# A year and a day of temperatures, told at once.
DAYS_MAX: Final = 367
# More figures than any rule has.
FIGURES_MAX: Final = 20
# The schema's limit: a hundred degrees below the temperature at which homes are heated.
DEGREE_DAYS_TENTHS_MAX: Final = 1000

MeterTypeName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}$", examples=["diaphragm_g4"])]
RuleName = Annotated[str, Field(pattern=r"^[a-z_]{1,40}$", examples=["high_low"])]
FigureName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]
Figures = Annotated[dict[FigureName, int], Field(max_length=FIGURES_MAX)]
Name = Annotated[str, Field(min_length=1, max_length=APPROVED_BY_CHARS_MAX, pattern=TEXT_PATTERN)]
OutcomeName = Literal["accepted", "flagged", "held", "refused"]


class RuleQuery(Wire):
    """For which type of meter, on which local day; today's when no day is named."""

    meter_type: MeterTypeName = "diaphragm"
    day: Day | None = None


class OverrideShown(Wire):
    """A town's word on a rule; meter_type null means every type."""

    code: RuleName
    meter_type: str | None
    valid_from: date
    outcome: OutcomeName | None
    figures: dict[str, int]
    approved_by: str


class RuleShown(Wire):
    """A rule in force, and the town's words it was made from; none when it is our own."""

    rule_no: int
    code: RuleName
    version: str
    outcome: OutcomeName
    figures: dict[str, int]
    source: Literal["default", "override"]
    overrides: list[OverrideShown]


class RulesShown(Wire):
    """The rules in force for a type of meter on a local day, in the order of their numbers."""

    meter_type: str
    day: date
    rules: list[RuleShown]


class NewOverride(Wire):
    """A town's word on a rule from a local day on; what is left out stays as it is."""

    code: RuleName
    meter_type: MeterTypeName | None = None
    valid_from: Day
    outcome: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")] | None = None
    figures: Figures = Field(default_factory=dict)
    approved_by: Name
    retroactive: Annotated[
        bool, Field(description="true to begin on a day that is over; what was judged stays")
    ] = False


class NewDegreeDay(Wire):
    """How cold a local day was, in tenths of a degree day."""

    day: Day
    degree_days_tenths: Annotated[int, Field(ge=0, le=DEGREE_DAYS_TENTHS_MAX)]


class NewDegreeDays(Wire):
    """Temperatures of some days out of one source; a day noted otherwise gets a revision."""

    source: Name
    days: Annotated[list[NewDegreeDay], Field(min_length=1, max_length=DAYS_MAX)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({one.day for one in self.days}) != len(self.days):
            raise ValueError("a day stands there twice")
        return self


class DegreeDaysTaken(Wire):
    """How many days were told, and how many of them are news."""

    days: int
    news: int


class DegreeDayShown(Wire):
    """The newest note of a day."""

    day: date
    revision: int
    degree_days_tenths: int
    source: str
    noted_at: Instant


class DegreeDaysShown(Wire):
    """The days that are known, in order."""

    days: list[DegreeDayShown]


class DegreeDayQuery(Wire):
    """From which day up to, but without, which other; at most 367 days are shown."""

    from_day: Day
    to_day: Day


class FindingQuery(Wire):
    """Which findings, and which page of them; day is a reading's local day or within the month."""

    meter: MeterId | None = None
    day: Day | None = None
    outcome: OutcomeName | None = None
    state: Annotated[
        Literal["open", "decided"] | None, Field(description="whether a person said something")
    ] = None
    before: Instant | None = None
    before_meter: MeterId | None = None
    before_finding: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    limit: PageSize = 100


class FindingPath(MeterPath):
    """One finding of one meter."""

    finding_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class NewDecision(Wire):
    """Why a finding may stand."""

    because: Sentence


class FindingShown(Wire):
    """A rule's word on a reading (read_at) or on a period of a stay, and a person's on it."""

    meter_id: MeterId
    finding_id: str
    read_at: Instant | None
    installed_at: Instant | None
    period_start: date | None
    code: str
    version: str
    outcome: str
    figures: dict[str, int]
    found_at: Instant
    decided_by: str | None
    because: str | None
    decided_at: Instant | None


class FindingPage(Wire):
    """Findings, the newest first; the next page begins before the last of these."""

    findings: list[FindingShown]
    next_before: Instant | None
    next_before_meter: str | None
    next_before_finding: str | None


class LevelShown(Wire):
    """A level that refused readings agree on; nothing is measured from it by itself."""

    meter_id: MeterId
    before_read_at: Instant
    before_dm3: Annotated[int, Field(description="the last trusted register")]
    first_read_at: Instant
    first_dm3: Annotated[int, Field(description="the first register that agrees")]
    last_read_at: Instant
    last_dm3: int
    readings: Annotated[int, Field(description="how many agree")]
    rule_version: str


class NewRebaseline(Wire):
    """A person's word that a meter goes on at another level: what was shown, and why it is so."""

    because: Sentence
    before_dm3: RegisterDm3
    first_read_at: Instant
    first_dm3: RegisterDm3


class RebaselineShown(Wire):
    """A meter's new beginning: one stay ended with before_dm3, the next began with first_dm3."""

    meter_id: MeterId
    installed_at: Instant
    previous_installed_at: Instant
    before_read_at: Instant
    before_dm3: int
    first_dm3: int
    last_dm3: int
    readings: int
    rule_version: str
    decided_by: str
    because: str
    decided_at: Instant


def finding_shown(found: Found) -> FindingShown:
    """Show a finding; its digest is its name."""
    return FindingShown(
        meter_id=found.meter_id,
        finding_id=found.digest.hex(),
        read_at=found.read_at,
        installed_at=found.installed_at,
        period_start=found.period_start,
        code=found.code,
        version=found.version,
        outcome=found.outcome,
        figures=dict(found.figures),
        found_at=found.found_at,
        decided_by=found.decided_by,
        because=found.because,
        decided_at=found.decided_at,
    )
