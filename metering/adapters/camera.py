"""AI-on-the-edge-device: a camera in front of a dial, which publishes JSON full of texts.

Topic: ``<main>/<number>/json``; it alone says whose it is, so ``device`` stays empty. Read:
``value``, in the mapping's ``unit``. A number that was not recognised has an N in it, and an empty
one means that there is none; both are refused. So is everything beside an ``error`` other than
"no error": the camera then repeats the value before, as if the dial had stood still.

Time: ``timestamp``, that of the last valid value, with a zone or else in the mapping's ``zone``;
where it is missing, the second the message came. Flags: none.

Facts: jomjol/AI-on-the-edge-device-docs, docs/MQTT-API.md.
"""

from typing import Final

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse

_FINE: Final = frozenset({"", "no error"})


def read(message: Message, source: Source) -> Samples | None:
    """Return the register that a camera has read; see the module for what is refused."""
    said = parse.json_object(message.payload)
    error = parse.text(said.get("error", ""), "error").strip()
    if error.lower() not in _FINE:
        raise parse.unreadable(f"the camera says: {error}")
    value = said.get("value")
    if value in (None, ""):
        raise parse.unreadable("the camera saw no value")
    timestamp = said.get("timestamp")
    if timestamp in (None, ""):
        read_at = parse.received_at(message)
    else:
        read_at = parse.told_at(timestamp, "timestamp", source.zone)
    sample = Sample(read_at=read_at, register_dm3=parse.register_dm3(value, source.unit))
    return Samples(samples=(sample,))
