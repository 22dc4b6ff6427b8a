"""Elehant SGBD and Sonic gas meters, which shout over Bluetooth, and a gateway that passes it on.

Topic: ``tele/<gateway>/SNS/<serial>`` (retained) with the decoded counter, and
``tele/<gateway>/BLE_ADV_RAW`` with the advertisement in hex; a bare one in hex is read too.
``device`` is the serial in decimal. Water meters of the same maker speak alike and count their
serials alike: the third octet of their address and the seventh byte of their words is 02 where gas
has 01, and they are another device.

Read: ``counter.ml``, which is whole, else ``counter.m3``; if both stand there they must agree. The
advertisement: 19 bytes, little-endian: FF FF 80, a sequence number, two unknown, 01 for gas, the
model, serial (3), counter in 0.1 dm3 (4), unknown, temperature in 0.01 degrees C (2), unknown.

Time: ``ts``, seconds since 1970 by the gateway's clock; a gateway that found no clock writes a
small one, and then the second the message came counts, unless it is retained. Flags: none.

Facts: vooon/elehant-to-mqtt, docs/protocol.md; dudanov/hassio-elehant.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse

_ADVERT: Final = re.compile(r"[0-9A-Fa-f]{38}")
_ADDRESS: Final = re.compile(r"b0:[0-9a-f]{2}:([0-9a-f]{2})(?::[0-9a-f]{2}){3}")
_BEGINNING: Final = b"\xff\xff\x80"
_GAS: Final = 0x01
_SERIAL: Final = re.compile(r"[0-9]{1,8}")
_SERIAL_MAX: Final = 2**24 - 1
# 32 bits of 0.1 dm3.
_COUNTER_ML_MAX: Final = (2**32 - 1) * 100
_CLOCK_MIN_S: Final = 946_684_800
_MODELS: Final = {
    0x10: "SGBD-1.8",
    0x11: "SGBD-3.2",
    0x12: "SGBD-4.0",
    0x22: "Sonic-G4",
    0x32: "SGBD-4.0TK",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Advert:
    """What one advertisement of a gas meter says; a model of None is one that we do not know."""

    serial: int
    model: str | None
    counter_decilitre: int
    temperature_centicelsius: int
    sequence: int

    @property
    def register_dm3(self) -> int:
        """Return the counter in whole dm3, rounded down."""
        return self.counter_decilitre // 10


def advert(spelt: str) -> Advert | None:
    """Return what an advertisement in hex says, or None when no gas meter sent it."""
    if _ADVERT.fullmatch(spelt) is None:
        return None
    said = bytes.fromhex(spelt)
    if not said.startswith(_BEGINNING) or said[6] != _GAS:
        return None
    return Advert(
        serial=int.from_bytes(said[8:11], "little"),
        model=_MODELS.get(said[7]),
        counter_decilitre=int.from_bytes(said[11:15], "little"),
        temperature_centicelsius=int.from_bytes(said[16:18], "little", signed=True),
        sequence=said[3],
    )


def spellings(source: Source) -> tuple[str, ...]:
    """Return the serial in decimal, and as an advertisement has it."""
    if _SERIAL.fullmatch(source.device) is None or int(source.device) > _SERIAL_MAX:
        return ()
    return source.device, int(source.device).to_bytes(3, "little").hex()


def read(message: Message, source: Source) -> Samples | None:
    """Return the register of an Elehant meter, or None when another device speaks."""
    bare = message.payload.decode("ascii", "replace").strip()
    if _ADVERT.fullmatch(bare) is not None:
        return _shouted(bare, source, {}, message)
    if bare.lower() in ("online", "offline"):
        return Samples()
    said = parse.json_object(message.payload)
    device = parse.fields(said.get("dev"), "dev")
    if "mfg_data" in device:
        spelt = parse.text(device["mfg_data"], "dev.mfg_data")
        return _shouted(spelt, source, said, message)
    serial = parse.whole(device.get("device_num"), "dev.device_num", _SERIAL_MAX)
    if str(serial) != source.device or not _is_gas(device.get("bdaddr")):
        return None
    register_dm3 = _counter_dm3(parse.fields(said.get("counter"), "counter"))
    sample = Sample(read_at=_read_at(said, message), register_dm3=register_dm3)
    return Samples(samples=(sample,))


def _shouted(
    spelt: str, source: Source, said: Mapping[str, Any], message: Message
) -> Samples | None:
    found = advert(spelt)
    if found is None or str(found.serial) != source.device:
        return None
    sample = Sample(read_at=_read_at(said, message), register_dm3=found.register_dm3)
    return Samples(samples=(sample,))


def _is_gas(address: object) -> bool:
    match = _ADDRESS.fullmatch(parse.text(address, "dev.bdaddr").lower())
    return match is not None and int(match[1], 16) == _GAS


def _counter_dm3(counter: Mapping[str, Any]) -> int:
    if counter.get("ml") is None:
        return parse.register_dm3(counter.get("m3"), "m3")
    register_dm3 = parse.whole(counter["ml"], "counter.ml", _COUNTER_ML_MAX) // 1000
    # The gateway multiplies in binary, so m3 may be one step off.
    m3 = counter.get("m3")
    if m3 is not None and abs(parse.register_dm3(m3, "m3") - register_dm3) > 1:
        raise parse.unreadable("counter.m3 and counter.ml differ")
    return register_dm3


def _read_at(said: Mapping[str, Any], message: Message) -> datetime:
    ts = said.get("ts")
    if type(ts) is int and ts >= _CLOCK_MIN_S:
        return parse.epoch_at(ts, "ts")
    return parse.received_at(message)
