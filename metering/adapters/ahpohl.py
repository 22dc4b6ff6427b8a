"""ahpohl/gasmeter: a pulse reader that publishes its own idea of the dial.

Topic: ``gasmeter/live`` or another that was mapped; it alone says whose it is, so ``device`` stays
empty. Read: ``volume`` in m3. Time: ``time`` since 1970, documented in seconds and published in
milliseconds; the size says which. Flags: none; ``state`` is that of the reed switch.

Facts: the published message of ahpohl/gasmeter.
"""

from metering.adapter import Message, Sample, Samples, Source
from metering.adapters import parse


def read(message: Message, source: Source) -> Samples | None:  # noqa: ARG001 - as all families
    """Return the register of a live message."""
    said = parse.json_object(message.payload)
    sample = Sample(
        read_at=parse.epoch_at(said.get("time"), "time"),
        register_dm3=parse.register_dm3(said.get("volume"), "m3"),
    )
    return Samples(samples=(sample,))
