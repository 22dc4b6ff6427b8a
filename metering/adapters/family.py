"""The families of hardware by the names that mappings use; a new one is one file and one line."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from metering.adapter import Read
from metering.adapters import (
    ahpohl,
    camera,
    chirpstack_pulses,
    dsmr,
    elehant,
    fludia,
    glow,
    homewizard,
    jooby,
    milesight,
    rtl433,
    rtlamr,
    scalar,
    senml,
    smartico,
    sparkplug,
    tasmota,
    wmbusmeters,
    zigbee,
)

READ_OF_FAMILY: Final[Mapping[str, Read]] = MappingProxyType(
    {
        "ahpohl": ahpohl.read,
        "camera": camera.read,
        "chirpstack_fludia": fludia.read,
        "chirpstack_jooby": jooby.read,
        "chirpstack_milesight": milesight.read,
        "chirpstack_pulses": chirpstack_pulses.read,
        "chirpstack_smartico": smartico.read,
        "dsmr": dsmr.read,
        "elehant": elehant.read,
        "glow": glow.read,
        "homewizard": homewizard.read,
        "rtl433": rtl433.read,
        "rtlamr": rtlamr.read,
        "scalar": scalar.read,
        "senml": senml.read,
        "sparkplug": sparkplug.read,
        "tasmota": tasmota.read,
        "wmbusmeters": wmbusmeters.read,
        "zigbee": zigbee.read,
    }
)
