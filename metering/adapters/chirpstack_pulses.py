"""Any pulse counter behind ChirpStack whose codec names the count.

Topic and device: see ``chirpstack``. Behind the DevEUI stands the field of ``object`` that counts,
with dots between levels: ``70b3d5e75e000001/counter`` or ``…/channels.a``. Read: that whole
number, with ``dm3_per_count`` and ``offset_dm3``. An uplink without the field is a sign of life:
devices send their settings on the same topic. Time: that of the uplink. Flags: none.

Facts: the maker's codec, which the town put into the server.
"""

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse
from metering.adapters.chirpstack import Uplink, eui_spellings, read_uplink

spellings = eui_spellings


def read(message: Message, source: Source) -> Samples | None:
    """Return the register of a counter that a codec names."""
    return read_uplink(message, source, _decode)


def _decode(uplink: Uplink, source: Source) -> Samples:
    if not uplink.more:
        raise parse.unreadable("the mapping names no counter behind the DevEUI")
    found: object = uplink.codec
    for name in uplink.more.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if found is None:
        return Samples()
    sample = Sample(read_at=uplink.read_at, register_dm3=parse.counted_dm3(found, source))
    return Samples(samples=(sample,))
