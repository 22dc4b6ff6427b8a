"""Which sources hear a topic, and what each of them makes of a message."""

import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from metering.adapter import Message, Read, Source, adapt
from metering.family import spellings
from metering.meter import METER_ID
from metering.shelf import Shelf, shelf
from metering.telegram import (
    REGISTER_DM3_MAX,
    Arrival,
    Refusal,
    Telegram,
    refusal,
)
from metering.topic import checked, has_wildcard, matches, overlap
from metering.volume import DM3_OF_UNIT

DEVICE_CHARS_MAX: Final = 128
# A pulse is at most 1000 m3, and at least a millionth of a litre.
DM3_PER_COUNT_MAX: Final = 1_000_000
DENOMINATOR_MAX: Final = 1_000_000
# A month: whoever wants fewer readings than that has no use for a source.
EVERY_S_MAX: Final = 31 * 24 * 3600
# Units of a bare number: a volume, or counts that ``dm3_per_count`` gives their weight.
UNITS: Final = (*DM3_OF_UNIT, "count")
# A payload that is read alike at another hour has a time of its own.
ANOTHER_HOUR: Final = timedelta(hours=25)
# Some say their register every second, with a time: no bill needs more than one a minute.
BETWEEN_READINGS_MIN: Final = timedelta(minutes=1)
# What begins like this is our own meters', whatever a source says.
UPLINK: Final = "gas/v1/"
# Topics come back over and over; strangers may invent new ones, which must not cost memory.
TOPICS_KEPT: Final = 4096


class SourceError(ValueError):
    """A source that cannot be; the message says why."""


def check_source(source: Source, families: Iterable[str]) -> None:
    """Refuse a source that could not work, or that would hear what is not its own.

    Raises:
        SourceError: a field is out of range or unknown.
        FilterError: the topic is no filter, or one that would hear our own meters.
    """
    if source.family not in families:
        raise SourceError(f"the families are {', '.join(sorted(families))}")
    if METER_ID.fullmatch(source.meter_id) is None:
        raise SourceError("a meter's id has 1 to 32 of A-Z, 0-9 and -")
    checked(source.topic)
    if len(source.device) > DEVICE_CHARS_MAX or not (source.device or "-").isprintable():
        raise SourceError(f"a device has at most {DEVICE_CHARS_MAX} printable characters")
    if has_wildcard(source.topic) and not source.device:
        # Everything that any device behind it says would be this one meter's.
        raise SourceError("a topic with + or # needs the device")
    weight = source.dm3_per_count
    if not 0 < weight <= DM3_PER_COUNT_MAX or weight.denominator > DENOMINATOR_MAX:
        raise SourceError("dm3_per_count is above 0 and at most 1000000, in millionths")
    if abs(source.offset_dm3) > REGISTER_DM3_MAX:
        raise SourceError("no dial has an offset like this")
    if source.unit not in UNITS:
        raise SourceError(f"the units are {', '.join(UNITS)}; energy is no register")
    if not 0 < source.every_s <= EVERY_S_MAX:
        raise SourceError(f"every_s is between 1 and {EVERY_S_MAX}")
    try:
        zoneinfo.ZoneInfo(source.zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise SourceError("the zone is the name of a time zone, such as Asia/Almaty") from None


def rival(source: Source, others: Iterable[Source]) -> Source | None:
    """Return a source that could take the same message: one device is one meter's.

    A source without a device takes whatever comes on its topic, so it tolerates no other there.
    """
    for other in others:
        same = (
            other.device.casefold() == source.device.casefold()
            or not other.device
            or not source.device
        )
        if same and overlap(other.topic, source.topic):
            return other
    return None


@dataclass(frozen=True, slots=True)
class _Taken:
    """When a message of a source was last taken, and the time of its last reading."""

    at: datetime
    read_at: datetime


@dataclass(slots=True, kw_only=True)
class Switchboard:
    """The live sources of this process, and what each of them said last."""

    families: Mapping[str, Read]
    _exact: dict[str, Shelf] = field(default_factory=dict)
    _wide: dict[str, Shelf] = field(default_factory=dict)
    _heard: dict[str, tuple[Shelf, ...]] = field(default_factory=dict)
    _taken: dict[str, _Taken] = field(default_factory=dict)

    def connect(self, sources: Sequence[Source]) -> None:
        """Listen for these sources from now on, and for no others."""
        by_topic: dict[str, list[Source]] = {}
        for source in sources:
            by_topic.setdefault(source.topic, []).append(source)
        spell = {family: spellings(read) for family, read in self.families.items()}
        shelves = {topic: shelf(there, spell) for topic, there in by_topic.items()}
        self._exact = {topic: one for topic, one in shelves.items() if not has_wildcard(topic)}
        self._wide = {topic: one for topic, one in shelves.items() if has_wildcard(topic)}
        self._heard = {}
        ids = {source.source_id for source in sources}
        self._taken = {one: taken for one, taken in self._taken.items() if one in ids}

    @property
    def topics(self) -> tuple[str, ...]:
        """Every filter to subscribe to, once."""
        return tuple(sorted({*self._exact, *self._wide}))

    def overhear(
        self, arrivals: Sequence[Arrival], *, at: datetime
    ) -> dict[int, list[Telegram | Refusal]]:
        """Return what ``hear`` says, by the place of each message that a source hears."""
        strange = {}
        for place, arrival in enumerate(arrivals):
            if not arrival.topic.startswith(UPLINK):
                said = self.hear(arrival, at=at)
                if said is not None:
                    strange[place] = said
        return strange

    def hear(self, arrival: Arrival, *, at: datetime) -> list[Telegram | Refusal] | None:
        """Return what a message says about each device that a source knows; it never raises.

        None means that no source hears its topic; an empty list that it says nothing to keep: it is
        about devices nobody mapped, or comes too soon after the last.
        """
        shelves = self._of(arrival.topic)
        if not shelves:
            return None
        message = Message(
            topic=arrival.topic, payload=arrival.payload, retained=arrival.retained, received_at=at
        )
        told: list[Telegram | Refusal] = []
        refused: list[Refusal] = []
        refusing = 0
        for asked in (asked for one in shelves for asked in one.asked(message)):
            source = asked.source
            said = adapt(source, message, self.families[source.family])
            if isinstance(said, Refusal):
                refused.append(said)
                refusing += 1 + asked.others
            elif said is not None and self._is_due(source, said, message):
                told.append(said)
        return told + _kept(refused, refusing)

    def forget(self, at: datetime) -> None:
        """Take back what was taken at an instant: its batch was not stored, and comes again."""
        self._taken = {one: taken for one, taken in self._taken.items() if taken.at != at}

    def _of(self, topic: str) -> tuple[Shelf, ...]:
        found = self._heard.get(topic)
        if found is None:
            exact = [self._exact[topic]] if topic in self._exact else []
            wide = [one for topic_filter, one in self._wide.items() if matches(topic_filter, topic)]
            found = (*exact, *wide)
            if len(self._heard) >= TOPICS_KEPT:
                self._heard.clear()
            self._heard[topic] = found
        return found

    def _is_due(self, source: Source, telegram: Telegram, message: Message) -> bool:
        """Say whether to take a telegram now; one that brings an old reading always is."""
        at, read_at = message.received_at, telegram.readings[-1].read_at
        last = self._taken.get(source.source_id)
        if last is not None:
            earlier = replace(message, received_at=at - ANOTHER_HOUR)
            if adapt(source, earlier, self.families[source.family]) != telegram:
                too_soon = last.at <= at < last.at + timedelta(seconds=source.every_s)
            else:
                soon = timedelta(0) < read_at - last.read_at < BETWEEN_READINGS_MIN
                too_soon = soon and len(telegram.readings) == 1
            if too_soon:
                return False
        self._taken[source.source_id] = _Taken(at, read_at)
        return True


def _kept(refused: Sequence[Refusal], refusing: int) -> list[Refusal]:
    """Return what to keep of refusals: what several cannot read is about none of their devices.

    Kept once, under nobody, so that one bad message on a busy topic is not a thousand.
    """
    if refusing <= 1:
        return list(refused)
    detail = f"for {refusing} sources: {refused[0].detail}"
    return [refusal(refused[0].reason, detail)]
