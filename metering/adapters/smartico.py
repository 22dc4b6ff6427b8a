"""Smartico G-1.6 to G-6: an ultrasonic gas meter with LoRaWAN, read from its own bytes.

Topic and device: see ``chirpstack``; behind the DevEUI may stand the meter's serial in decimal
(``02aaaa0200003184/12676``), and a message with another serial is then refused. Read: 13 bytes, all
numbers big-endian: 04, two bytes of flags, one unknown, serial (3), volume in dm3 (4), temperature
in 0.01 degrees C (2; all ones is none). Other lengths and first bytes are other messages and a sign
of life. The volume is converted to 20 degrees C in the meter: register such a meter as compensated,
and apply no table of temperatures to it.

Time: that of the uplink. The frame has none of the meter's own, and a meter whose clock is wrong
says so (FLG_ERR_TIME, here ``time_error``): its clock is not believed anyway, so that is not
``clock_lost``.

Flags: low battery, motion, magnet and opened cover as ``battery_low``, ``tilt``, ``magnet`` and
``cover``; reverse flow as ``reverse``; a valve that is not open as ``valve``; beyond its range,
sensor and gas errors under names of their own.

Facts: thingsboard/thingsboard.github.io, docs/samples/smartico/gas-meter-lorawan.
"""

from dataclasses import dataclass
from typing import Final

from metering.adapter import Message, Sample, Samples, Source, UnreadableError
from metering.adapters.chirpstack import Uplink, eui_spellings, read_uplink
from metering.telegram import RefusalReason

_FRAME_BYTES: Final = 13
_GAS_METER: Final = 0x04
_NO_TEMPERATURE: Final = b"\xff\xff"
# Byte, mask and our flag, in the order of the published decoder.
_FLAGS: Final = (
    (2, 0x01, "battery_low"),
    (2, 0x02, "tilt"),
    (2, 0x04, "magnet"),
    (2, 0x08, "cover"),
    (2, 0x70, "valve"),
    (2, 0x80, "flow_overrange"),
    (1, 0x01, "reverse"),
    (1, 0x02, "sensor_error"),
    (1, 0x04, "gas_error"),
    (1, 0x08, "time_error"),
    (1, 0x20, "power_on"),
)

spellings = eui_spellings


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What one frame says; the volume is at 20 degrees C."""

    serial: int
    volume_dm3: int
    temperature_centicelsius: int | None
    flags: tuple[str, ...]


def frame(data: bytes) -> Frame | None:
    """Return a frame with a volume, or None when the bytes are another message."""
    if len(data) != _FRAME_BYTES or data[0] != _GAS_METER:
        return None
    warm = data[11:13]
    return Frame(
        serial=int.from_bytes(data[4:7], "big"),
        volume_dm3=int.from_bytes(data[7:11], "big"),
        temperature_centicelsius=(
            None if warm == _NO_TEMPERATURE else int.from_bytes(warm, "big", signed=True)
        ),
        flags=tuple(flag for at, mask, flag in _FLAGS if data[at] & mask),
    )


def read(message: Message, source: Source) -> Samples | None:
    """Return the register of a Smartico meter."""
    return read_uplink(message, source, _decode)


def _decode(uplink: Uplink, source: Source) -> Samples:  # noqa: ARG001 - as all decoders
    found = frame(uplink.data)
    if found is None:
        return Samples()
    if uplink.more not in ("", str(found.serial)):
        raise UnreadableError(RefusalReason.METER_MISMATCH, f"the serial is {found.serial}")
    sample = Sample(read_at=uplink.read_at, register_dm3=found.volume_dm3)
    return Samples(samples=(sample,), flags=found.flags)
