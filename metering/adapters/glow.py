"""The gas half of a British display (Hildebrand Glow, a consumer access device of SMETS2).

Topic: ``glow/<mac>/SENSOR/gasmeter``; STATE and the electricity meter say nothing of gas. Device:
the MPRN, or empty where the topic is one home's. Read are ``cumulativevol`` in
``cumulativevolunits``, and ``cumulative`` where ``units`` itself is a volume. Older firmware has
kWh only: energy is no register without the calorific value it was made with, so that is refused.
``dayvol`` and its like are kWh whatever they are called, and are not read. Time: ``timestamp``, in
UTC. No flags.

Facts: messages in https://github.com/megakid/ha_hildebrand_glow_ihd_mqtt and other readers of it.
"""

from collections.abc import Mapping
from typing import Any

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse
from metering.volume import DM3_OF_UNIT


def spellings(source: Source) -> tuple[str, ...]:
    """Return the device, which stands in a message as it is."""
    return (source.device,)


def read(message: Message, source: Source) -> Samples | None:
    """Return the register of the source's gas meter."""
    said = parse.json_object(message.payload)
    if "gasmeter" not in said:
        return None
    meter = parse.fields(said["gasmeter"], "gasmeter")
    drawn = parse.fields(parse.fields(meter.get("energy"), "energy").get("import"), "import")
    if source.device and parse.text(drawn.get("mprn"), "mprn") != source.device:
        return None
    sample = Sample(
        read_at=parse.zoned_at(meter.get("timestamp"), "timestamp"),
        register_dm3=_register_dm3(drawn),
    )
    return Samples(samples=(sample,))


def _register_dm3(drawn: Mapping[str, Any]) -> int:
    if "cumulativevol" in drawn:
        unit = parse.text(drawn.get("cumulativevolunits"), "cumulativevolunits")
        return parse.register_dm3(drawn["cumulativevol"], unit)
    unit = parse.text(drawn.get("units"), "units")
    if unit not in DM3_OF_UNIT:
        raise parse.unreadable("energy and no volume")
    return parse.register_dm3(drawn.get("cumulative"), unit)
