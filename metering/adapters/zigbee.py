"""A gas meter behind zigbee2mqtt: frient ZHEMI101, MiCASA's counter and others that expose gas.

Topic: ``zigbee2mqtt/<friendly name>``. ``device`` is empty, or the IEEE address that the bridge
adds when ``include_device_information`` is on; it is then demanded. Read: ``gas`` in m3. A message
without it (another attribute, availability) is a sign of life.

Time: ``last_seen`` (ISO 8601 or milliseconds) when the bridge adds it; else the second the message
came, unless it is retained. The bridge repeats what it remembers whenever any attribute comes, and
after a restart: without ``last_seen`` a remembered register looks like a fresh one. It can be too
low for its time by what passed since, never too high.

Flags: ``battery_low``; ``check_meter`` as it is; ``tamper`` as ``cover``.

Facts: Koenkk/zigbee2mqtt.io, docs/devices/ZHEMI101.md and docs/guide/configuration;
IgnacioHR/ZigbeeGasMeter.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse

_FLAGS: Final = {"battery_low": "battery_low", "check_meter": "check_meter", "tamper": "cover"}


def spellings(source: Source) -> tuple[str, ...]:
    """Return the device, where all its spellings are its letters in another case."""
    return parse.folded_spellings(source.device)


def read(message: Message, source: Source) -> Samples | None:
    """Return the register of a bridged meter, or None when another device speaks."""
    said = parse.json_object(message.payload)
    if source.device:
        device = parse.fields(said.get("device"), "device")
        address = parse.text(device.get("ieeeAddr"), "device.ieeeAddr")
        if address.casefold() != source.device.casefold():
            return None
    flags = tuple(flag for name, flag in _FLAGS.items() if said.get(name) is True)
    gas = said.get("gas")
    if gas is None:
        return Samples(flags=flags)
    sample = Sample(read_at=_read_at(said, message), register_dm3=parse.register_dm3(gas, "m3"))
    return Samples(samples=(sample,), flags=flags)


def _read_at(said: Mapping[str, Any], message: Message) -> datetime:
    last_seen = said.get("last_seen")
    if last_seen is None:
        return parse.received_at(message)
    if isinstance(last_seen, str):
        return parse.zoned_at(last_seen, "last_seen")
    return parse.epoch_at(last_seen, "last_seen")
