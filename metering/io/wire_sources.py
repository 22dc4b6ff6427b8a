"""What sources look like on the wire of the API, and what a trial of one says."""

import base64
import binascii
from fractions import Fraction
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from metering.adapter import Source
from metering.io.route import TEXT_PATTERN, Instant, MeterId, PageSize, Wire
from metering.io.sources import Entry
from metering.io.wire import REGISTER_DM3_MAX
from metering.source import DENOMINATOR_MAX, DEVICE_CHARS_MAX, DM3_PER_COUNT_MAX, EVERY_S_MAX
from metering.telegram import PAYLOAD_BYTES_MAX, Refusal, Telegram
from metering.topic import FILTER_CHARS_MAX

ZONE_CHARS_MAX: Final = 64
FAMILY_CHARS_MAX: Final = 32
# A payload that is just too large can still be tried, and is told so.
TRIED_CHARS_MAX: Final = PAYLOAD_BYTES_MAX * 2


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("the payload is not base64") from error
    return text


Topic = Annotated[str, Field(min_length=1, max_length=FILTER_CHARS_MAX, pattern=TEXT_PATTERN)]
Device = Annotated[
    str,
    Field(
        max_length=DEVICE_CHARS_MAX,
        pattern=r"^[^\u0000-\u001f\u007f-\u009f]*$",
        description="who it is inside the payload; empty where the topic alone says it",
    ),
]
Base64 = Annotated[
    str, Field(max_length=TRIED_CHARS_MAX, examples=["MTIuMzQ1"]), AfterValidator(_base64)
]


class NewSource(Wire):
    """What a topic says about a device is what a meter's dial shows; docs/adapters.md says how."""

    family: Annotated[str, Field(pattern=rf"^[a-z0-9_]{{1,{FAMILY_CHARS_MAX}}}$")]
    topic: Annotated[Topic, Field(description="an MQTT filter", examples=["tele/gate/SNS/123"])]
    meter_id: MeterId
    device: Device = ""
    dm3_numerator: Annotated[
        int,
        Field(
            ge=1,
            le=DM3_PER_COUNT_MAX * DENOMINATOR_MAX,
            description="dm3 of one count, together with dm3_denominator",
        ),
    ] = 1
    dm3_denominator: Annotated[int, Field(ge=1, le=DENOMINATOR_MAX)] = 1
    offset_dm3: Annotated[int, Field(ge=-REGISTER_DM3_MAX, le=REGISTER_DM3_MAX)] = 0
    unit: Literal["m3", "dm3", "l", "count"] = "m3"
    zone: Annotated[
        str, Field(min_length=1, max_length=ZONE_CHARS_MAX, examples=["Asia/Almaty"])
    ] = "UTC"
    every_s: Annotated[int, Field(ge=1, le=EVERY_S_MAX)] = 3600

    @property
    def source(self) -> Source:
        """Return the source, whose id is not known yet."""
        return Source(
            source_id="",
            family=self.family,
            topic=self.topic,
            meter_id=self.meter_id,
            device=self.device,
            dm3_per_count=Fraction(self.dm3_numerator, self.dm3_denominator),
            offset_dm3=self.offset_dm3,
            unit=self.unit,
            zone=self.zone,
            every_s=self.every_s,
        )


class NewTrial(NewSource):
    """A source that is not entered, and a message as its hardware published it."""

    message_topic: Topic
    payload_base64: Base64
    retained: bool = False


class SourceShown(Wire):
    """A source as it was entered; it is listened to while removed_at is null."""

    source_id: UUID
    family: str
    topic: str
    meter_id: MeterId
    device: str
    dm3_numerator: int
    dm3_denominator: int
    offset_dm3: int
    unit: str
    zone: str
    every_s: int
    entered_by: str
    entered_at: Instant
    removed_by: str | None
    removed_at: Instant | None


class SourcePage(Wire):
    """Sources, removed ones included, in the order of their ids."""

    sources: list[SourceShown]
    next: UUID | None


class SourceQuery(Wire):
    """Which page of the sources."""

    after: UUID | None = None
    limit: PageSize = 100


class SourcePath(Wire):
    """One source."""

    source_id: UUID


class SampleShown(Wire):
    """A register that would be stored, if the meter hung there then."""

    read_at: Instant
    register_dm3: int


class TrialShown(Wire):
    """What a message would be; nothing of it was stored."""

    result: Annotated[
        Literal["read", "refused", "nothing", "not_heard"],
        Field(
            description="nothing: about another device, or no reading; not_heard: the topic does "
            "not fit the source's"
        ),
    ]
    samples: list[SampleShown]
    flags: list[str]
    reason: str | None
    detail: str | None


def source_shown(entry: Entry) -> SourceShown:
    """Show a source."""
    source = entry.source
    return SourceShown(
        source_id=UUID(source.source_id),
        family=source.family,
        topic=source.topic,
        meter_id=source.meter_id,
        device=source.device,
        dm3_numerator=source.dm3_per_count.numerator,
        dm3_denominator=source.dm3_per_count.denominator,
        offset_dm3=source.offset_dm3,
        unit=source.unit,
        zone=source.zone,
        every_s=source.every_s,
        entered_by=entry.entered_by,
        entered_at=entry.entered_at,
        removed_by=entry.removed_by,
        removed_at=entry.removed_at,
    )


def trial_shown(said: Telegram | Refusal | None, *, heard: bool) -> TrialShown:
    """Show what became of a message."""
    if isinstance(said, Refusal):
        return TrialShown(
            result="refused", samples=[], flags=[], reason=said.reason.value, detail=said.detail
        )
    if said is None:
        result: Literal["nothing", "not_heard"] = "nothing" if heard else "not_heard"
        return TrialShown(result=result, samples=[], flags=[], reason=None, detail=None)
    return TrialShown(
        result="read",
        samples=[
            SampleShown(read_at=reading.read_at, register_dm3=reading.register_dm3)
            for reading in said.readings
        ],
        flags=list(said.flags),
        reason=None,
        detail=None,
    )
