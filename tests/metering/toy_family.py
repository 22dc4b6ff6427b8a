"""A family made up for the tests: ``<device> <instant or -> <m3>``, many of them by ``;``.

It has every kind of answer that a real one gives: samples, nothing, a refusal, and (for the word
``bug``) a mistake of ours.
"""

from datetime import datetime

from metering.adapter import Message, Sample, Samples, Source, UnreadableError
from metering.telegram import RefusalReason
from metering.volume import volume_dm3


def read(message: Message, source: Source) -> Samples | None:
    """Find the device's samples; a dash is the time of arrival."""
    samples = []
    if message.payload == b"bug":
        raise KeyError("bug")
    for line in message.payload.decode("ascii", "replace").split(";"):
        words = line.split()
        if len(words) != 3:
            raise UnreadableError(RefusalReason.BAD_SHAPE, "not three words")
        device, at, volume = words
        if source.device not in {"", device}:
            continue
        if message.retained and at == "-":
            return None
        register_dm3 = volume_dm3(volume, source.unit)
        if not isinstance(register_dm3, int):
            raise UnreadableError(RefusalReason.BAD_SHAPE, register_dm3.value)
        try:
            read_at = message.received_at if at == "-" else datetime.fromisoformat(at)
        except ValueError:
            raise UnreadableError(RefusalReason.BAD_SHAPE, "no instant") from None
        samples.append(Sample(read_at=read_at, register_dm3=register_dm3 + source.offset_dm3))
    return Samples(samples=samples, flags=["toy"]) if samples else None
