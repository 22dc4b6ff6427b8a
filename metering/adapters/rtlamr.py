"""Frames of ERT gas modules as rtlamr writes them, and the state that rtlamr2mqtt makes of them.

Topic: any for frames; ``<base>/<id>/state`` for rtlamr2mqtt, whose ``.../attributes`` and
``<base>/status`` say nothing of gas. Device: the module's number in decimal digits. Read are
``Consumption`` of SCM, SCM+ and R900, ``LastConsumptionCount`` of IDM, and ``reading`` of a state.
Frames count (``ert.py``). R900 counts tenths, so its ``dm3_per_count`` is that of a tenth; it does
not say what it meters, and only the mapping knows. A state is a volume in the mapping's unit, as
its owner formatted it. Time: ``Time`` or ``lastseen``, with a zone. Flags: ``tamper_physical``,
``tamper_encoder``, ``tamper``, ``reverse``, ``leak``, ``leak_now``.

Published IDMs have a check sum that is right over the serial number and not over the rest, so a
register may have wrong bits. One whose packet type, length and Hamming code are not those of an IDM
is refused; the rest is left to the rules 9 and 21. SCM and SCM+ are the better choice.

Facts: https://github.com/bemasher/rtlamr (scm, scmplus, idm, r900) and
https://github.com/allangood/rtlamr2mqtt (its mock capture has the broken IDM).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import ert, parse

_ID_MAX: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Where a type of frame keeps what; ``kind`` is None where it does not say what it meters."""

    device: str
    kind: str | None
    count: str
    bits: int
    flags: Mapping[str, str]


_FRAMES: Final = {
    "SCM": _Frame(
        device="ID",
        kind="Type",
        count="Consumption",
        bits=24,
        flags={"TamperPhy": "tamper_physical", "TamperEnc": "tamper_encoder"},
    ),
    "SCM+": _Frame(
        device="EndpointID",
        kind="EndpointType",
        count="Consumption",
        bits=32,
        flags={"Tamper": "tamper"},
    ),
    "IDM": _Frame(
        device="ERTSerialNumber", kind="ERTType", count="LastConsumptionCount", bits=32, flags={}
    ),
    "R900": _Frame(
        device="ID",
        kind=None,
        count="Consumption",
        bits=27,
        flags={"BackFlow": "reverse", "Leak": "leak", "LeakNow": "leak_now"},
    ),
}
# Packet type, packet length and the Hamming code of that length are the same in every IDM.
_IDM_HEAD: Final = (("PacketTypeID", 0x1C), ("PacketLength", 0x5C), ("HammingCode", 0xC6))
_SILENT: Final = frozenset({"attributes", "status", "config"})


def spellings(source: Source) -> tuple[str, ...]:
    """Return the device, which stands in a message as it is."""
    return (source.device,)


def read(message: Message, source: Source) -> Samples | None:
    """Return the register of a frame or a state of the source's module."""
    levels = message.topic.split("/")
    if levels[-1] in _SILENT:
        return None
    said = parse.json_object(message.payload)
    if "reading" in said or "lastseen" in said:
        return _state(levels, said, source)
    frame = _FRAMES.get(str(said.get("Type")))
    return None if frame is None else _framed(frame, said, source)


def _state(levels: list[str], said: Mapping[str, Any], source: Source) -> Samples | None:
    if levels[-2:] != [source.device, "state"]:
        return None
    sample = Sample(
        read_at=parse.zoned_at(said.get("lastseen"), "lastseen"),
        register_dm3=parse.register_dm3(parse.text(said.get("reading"), "reading"), source.unit),
    )
    return Samples(samples=(sample,))


def _framed(frame: _Frame, said: Mapping[str, Any], source: Source) -> Samples | None:
    inside = parse.fields(said.get("Message"), "Message")
    if str(parse.whole(inside.get(frame.device), frame.device, _ID_MAX)) != source.device:
        return None
    if said["Type"] == "IDM":
        for name, value in _IDM_HEAD:
            if parse.whole(inside.get(name), name, 0xFF) != value:
                raise parse.unreadable(f"{name} is not that of an IDM")
    if frame.kind is not None:
        ert.check_gas(inside.get(frame.kind))
    sample = Sample(
        read_at=parse.zoned_at(said.get("Time"), "Time"),
        register_dm3=ert.register_dm3(inside.get(frame.count), frame.bits, source),
    )
    flags = [
        flag for name, flag in frame.flags.items() if parse.whole(inside.get(name, 0), name, 0xFFFF)
    ]
    return Samples(samples=(sample,), flags=flags)
