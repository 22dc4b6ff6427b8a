"""A bare number on a topic of its own: ESPHome, AI-on-the-edge ``/value``, home-made ones.

Topic: whatever was mapped, such as ``<prefix>/sensor/<name>/state``; it alone says whose it is, so
``device`` stays empty. Read: one plain number, padded with zeros or not, in ``unit`` (m3, dm3, l);
energy is refused. With the unit ``count`` it is a number of pulses, with ``dm3_per_count`` and
``offset_dm3``. A counter that lost its memory starts at 0 again; it is then lower than before, and
held.

Time: none of its own, so the second it came. A retained one is refused, since it may be weeks old.
Flags: none. The words by which gateways say that there is no value are a sign of life.

Facts: ESPHome's MQTT component and pulse meter; AI-on-the-edge-device-docs, MQTT-API.
"""

from typing import Final

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse

COUNT: Final = "count"
# What stands on such a topic while there is no value, or on the status topic beside it.
_NO_VALUE: Final = frozenset(
    {"", "nan", "none", "null", "offline", "online", "unavailable", "unknown"}
)


def read(message: Message, source: Source) -> Samples | None:
    """Return the register that a bare number means; see the module for what is refused."""
    try:
        number = message.payload.decode("ascii").strip()
    except ValueError:
        raise parse.unreadable("not a bare number") from None
    if number.lower() in _NO_VALUE:
        return Samples()
    if source.unit == COUNT:
        register_dm3 = parse.counted_dm3(number, source)
    else:
        register_dm3 = parse.register_dm3(number, source.unit)
    sample = Sample(read_at=parse.received_at(message), register_dm3=register_dm3)
    return Samples(samples=(sample,))
