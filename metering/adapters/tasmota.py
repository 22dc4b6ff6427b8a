"""Tasmota: firmware for small boards, which counts the pulses of a reed switch.

Topic: ``tele/<name>/SENSOR``. ``device`` is the counter on that board, ``C1`` to ``C4``. Read: that
entry of ``COUNTER``, a number of pulses, with ``dm3_per_count`` and ``offset_dm3``. A message
without any is a sign of life. A board that lost its memory starts at 0 again; its register is then
lower than before, and held.

Time: ``Time``, local in the mapping's ``zone`` unless the board writes an offset; a board that
found no clock writes 1970, and is refused. Flags: none.

Facts: arendst/Tasmota, xsns_counter.ino, and messages published by its users.
"""

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse


def read(message: Message, source: Source) -> Samples | None:
    """Return the register of one counter of a board."""
    if message.payload.strip().lower() in (b"online", b"offline"):
        return Samples()
    said = parse.json_object(message.payload)
    if said.get("COUNTER") is None:
        return Samples()
    count = parse.fields(said["COUNTER"], "COUNTER").get(source.device)
    if count is None:
        return None
    sample = Sample(
        read_at=parse.told_at(said.get("Time"), "Time", source.zone),
        register_dm3=parse.counted_dm3(count, source),
    )
    return Samples(samples=(sample,))
