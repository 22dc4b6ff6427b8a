"""The gas meter behind a HomeWizard P1 dongle, API v1 and v2, as somebody passed it on.

Topic: any. Device: ``gas_unique_id``, or ``unique_id`` in ``external``; empty where the topic is
one home's and it has one gas meter. Read are ``total_gas_m3`` (v1) and each entry of ``external``
with ``type`` gas_meter, which has its own ``unit``. Both say the same of one meter; where they do
not, the message is refused. A dongle without a gas meter says nothing of gas. Time:
``gas_timestamp`` (v1, a number YYMMDDhhmmss) or ``timestamp`` (v2, ISO without a zone), both on the
wall of the mapping's zone. No flags.

Facts: https://api-documentation.homewizard.com/ and the fixtures of
https://github.com/homewizard/python-homewizard-energy.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import p1, parse

_GAS: Final = "gas_meter"
_EXTERNAL_MAX: Final = 16  # M-Bus behind P1 has four channels
_STAMP_DIGITS: Final = 12
_STAMP_MAX: Final = 10**_STAMP_DIGITS - 1


def spellings(source: Source) -> tuple[str, ...]:
    """Return the device, which stands in a message as it is."""
    return (source.device,)


def read(message: Message, source: Source) -> Samples | None:
    """Return the registers of the source's gas meter; twice the same where both places have it."""
    said = parse.json_object(message.payload)
    entries = [*_total(said), *_external(said)]
    if source.device:
        ours = [entry for entry in entries if entry.get("unique_id") == source.device]
    else:
        ours = [entry for entry in entries if entry.get("type") == _GAS]
        if len({str(entry.get("unique_id")) for entry in ours}) > 1:
            raise parse.unreadable("more than one gas meter")
    if not ours:
        return None
    return Samples(samples=[_sample(entry, source) for entry in ours])


def _total(said: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what v1 says at its top, as an entry of ``external`` would; null means no meter."""
    names = ("total_gas_m3", "gas_timestamp", "gas_unique_id")
    value, stamp, unique_id = (said.get(name) for name in names)
    if value is None and stamp is None:
        return
    yield {
        "unique_id": unique_id,
        "type": _GAS,
        "timestamp": stamp,
        "value": value,
        "unit": "m3",
    }


def _external(said: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    external = said.get("external")
    if external is None:
        return []
    if not isinstance(external, list) or len(external) > _EXTERNAL_MAX:
        raise parse.unreadable("external is no short list")
    return [parse.fields(entry, "an entry of external") for entry in external]


def _sample(entry: Mapping[str, Any], source: Source) -> Sample:
    if entry.get("type") != _GAS:
        raise parse.unreadable("type is not gas_meter")
    return Sample(
        read_at=_read_at(entry.get("timestamp"), source.zone),
        register_dm3=parse.register_dm3(entry.get("value"), parse.text(entry.get("unit"), "unit")),
    )


def _read_at(value: object, zone: str) -> datetime:
    if isinstance(value, str):
        return parse.local_at(value, "timestamp", zone)
    number = parse.whole(value, "timestamp", _STAMP_MAX)
    return p1.stamp_at(f"{number:0{_STAMP_DIGITS}}", "timestamp", zone)
