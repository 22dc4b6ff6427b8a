"""Messages as they were published by others, and mappings of our own; shared by the families.

The payloads are facts of the sources that each family's module names.
"""

import json
from datetime import UTC, datetime
from fractions import Fraction

from metering.adapter import Message, Read, Source, adapt
from metering.telegram import Refusal, RefusalReason, Telegram

METER = "AQ-000001"
NOW = datetime(2026, 1, 31, 18, 30, 5, 250_000, tzinfo=UTC)
# What a message without a time of its own is read at.
NOW_SECOND = datetime(2026, 1, 31, 18, 30, 5, tzinfo=UTC)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def mapping(
    *,
    device: str = "",
    dm3_per_count: Fraction | int = 1,
    offset_dm3: int = 0,
    unit: str = "m3",
    zone: str = "UTC",
) -> Source:
    return Source(
        source_id="S-1",
        family="any",
        topic="#",
        meter_id=METER,
        device=device,
        dm3_per_count=Fraction(dm3_per_count),
        offset_dm3=offset_dm3,
        unit=unit,
        zone=zone,
    )


def message(payload: object, *, topic: str = "gas", retained: bool = False) -> Message:
    """Return a message; a payload that is not bytes is published as JSON."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Message(topic=topic, payload=body, retained=retained, received_at=NOW)


def registers(read: Read, source: Source, came: Message) -> list[tuple[datetime, int]]:
    """Return the instants and registers of the telegram that a message must become."""
    told = adapt(source, came, read)
    assert isinstance(told, Telegram), told
    assert told.meter_id == METER
    return [(reading.read_at, reading.register_dm3) for reading in told.readings]


def flags(read: Read, source: Source, came: Message) -> tuple[str, ...]:
    told = adapt(source, came, read)
    assert isinstance(told, Telegram), told
    return told.flags


def refused(read: Read, source: Source, came: Message) -> tuple[RefusalReason, str]:
    """Return why a message must be refused, in the name of the source's meter."""
    told = adapt(source, came, read)
    assert isinstance(told, Refusal), told
    assert told.meter_id == METER
    assert not told.answerable
    return told.reason, told.detail
