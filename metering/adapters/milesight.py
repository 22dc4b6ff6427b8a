"""Milesight EM300-DI: a pulse counter that stores what it could not send.

Topic and device: see ``chirpstack``; the maker's codec must run in the server. Read: ``pulse`` of
``object`` now, and of each entry of ``history`` then, with ``dm3_per_count`` and ``offset_dm3``.
Entries without pulses are those of a switch and passed over, and an uplink without any is a sign
of life. Newer firmware scales pulses to ``water``, a binary fraction in a unit that nobody names;
that is refused, and the device has to be set to pulses.

Time: that of the uplink; ``timestamp`` (seconds since 1970) in the history. Flags: none.

Facts: Milesight-IoT/SensorDecoders, EM_Series/EM300_Series.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse
from metering.adapters.chirpstack import Uplink, eui_spellings, read_uplink

spellings = eui_spellings


def read(message: Message, source: Source) -> Samples | None:
    """Return the registers that a pulse counter has now and had before."""
    return read_uplink(message, source, _decode)


def _decode(uplink: Uplink, source: Source) -> Samples:
    return Samples(
        samples=tuple(
            Sample(read_at=read_at, register_dm3=parse.counted_dm3(count, source))
            for read_at, count in _counts(uplink)
        )
    )


def _counts(uplink: Uplink) -> Iterator[tuple[datetime, object]]:
    history = uplink.codec.get("history", [])
    if not isinstance(history, list):
        raise parse.unreadable("history is no list")
    for value in history:
        entry = parse.fields(value, "an entry of history")
        if _counts_pulses(entry):
            yield parse.epoch_at(entry.get("timestamp"), "timestamp"), entry["pulse"]
    if _counts_pulses(uplink.codec):
        yield uplink.read_at, uplink.codec["pulse"]


def _counts_pulses(entry: Mapping[str, Any]) -> bool:
    if entry.get("pulse") is not None:
        return True
    if "water" in entry:
        raise parse.unreadable("pulses scaled in the device, in a unit it does not name")
    return False
