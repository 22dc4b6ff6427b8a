"""A flood: telegrams of many meters, made before anything is timed.

Message n is from meter n modulo the meters, so every meter's counters rise by one and the load is
even. All meters say the same hours and the same registers; only names, counters and keys differ.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from simulators.packet import PACKET_ID_MAX, publish, topic_bytes
from simulators.signed import UP_TEMPLATE, Identity, telegram
from simulators.wire import COUNTER_MAX, READINGS_PER_TELEGRAM_MAX, Topics

HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """What a flood says; `step_dm3` is burned in each hour, `start_s` is in Unix seconds."""

    meters: int
    messages: int
    registers: int = 1
    signed: bool = False
    seed: str = "7"
    prefix: str = "FL-"
    first_number: int = 1
    first_counter: int = 1
    start_s: int = 1_735_689_600  # 1 January 2025 UTC: in the past, so that no clock runs ahead.
    opening_dm3: int = 1_000_000
    step_dm3: int = 100

    def __post_init__(self) -> None:
        """Refuse what no meter can say."""
        if self.meters < 1 or self.messages < 1:
            raise ValueError("a flood has meters and messages")
        if not 1 <= self.registers <= READINGS_PER_TELEGRAM_MAX:
            raise ValueError(f"a telegram carries 1 to {READINGS_PER_TELEGRAM_MAX} registers")
        if not 1 <= self.first_counter <= COUNTER_MAX - self.messages // self.meters - 1:
            raise ValueError("counters are from 1 and of 32 bits")

    def meter_id(self, place: int) -> str:
        """Return the name of the meter at a place from 0."""
        return f"{self.prefix}{self.first_number + place:06d}"

    def topics(self) -> Topics:
        """Return where these meters speak and listen."""
        return Topics(template=UP_TEMPLATE) if self.signed else Topics()

    def down(self, place: int) -> str:
        """Return where the meter at a place hears its answers."""
        return self.topics().down(self.meter_id(place), place)

    def identity(self, place: int) -> Identity:
        """Return who the meter at a place is; its key follows from the seed."""
        return Identity.of(seed=self.seed, meter_id=self.meter_id(place))

    def index(self, place: int, counter: int) -> int:
        """Return which message of the flood a meter's counter is."""
        return (counter - self.first_counter) * self.meters + place

    def count_of(self, place: int) -> int:
        """Return how many messages the meter at a place sends."""
        return -(-(self.messages - place) // self.meters)


def split(flood: Flood, parts: int) -> list[Flood]:
    """Return a flood as several, each with meters of its own, for as many connections."""
    parts = min(parts, flood.meters)
    shares: list[Flood] = []
    done = 0
    for part in range(parts):
        end = flood.meters * (part + 1) // parts
        messages = sum(flood.count_of(place) for place in range(done, end))
        if messages:
            first = flood.first_number + done
            share = replace(flood, meters=end - done, first_number=first, messages=messages)
            shares.append(share)
        done = end
    return shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Packets:
    """Messages of QoS 1 back to back, and where each begins; the last entry is the end."""

    data: bytes
    starts: "array[int]"  # Python 3.11 knows no array[int] when it runs.


def packets(flood: Flood, start: int, stop: int) -> Packets:
    """Return the messages [start, stop) of a flood, with packet ids that follow their place."""
    starts = array("Q", [0])
    parts: list[bytes] = []
    end = 0
    for index, (topic, payload) in enumerate(telegrams(flood, start, stop), start=start):
        packet = publish(topic, payload, index % PACKET_ID_MAX + 1)
        parts.append(packet)
        end += len(packet)
        starts.append(end)
    return Packets(data=b"".join(parts), starts=starts)


def joined(parts: list[Packets]) -> Packets:
    """Return pieces of one flood as a whole."""
    starts = array("Q", [0])
    for part in parts:
        begin = starts[-1]
        starts.extend(begin + place for place in part.starts[1:])
    return Packets(data=b"".join(part.data for part in parts), starts=starts)


def telegrams(flood: Flood, start: int, stop: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield topic, as in a packet, and payload of the messages [start, stop)."""
    places = {index % flood.meters for index in range(start, min(stop, start + flood.meters))}
    topics = flood.topics()
    names = {place: flood.meter_id(place) for place in places}
    up = {place: topic_bytes(topics.up(name, place)) for place, name in names.items()}
    voices = {place: flood.identity(place) for place in places} if flood.signed else {}
    for index in range(start, stop):
        turn, place = divmod(index, flood.meters)
        counter = flood.first_counter + turn
        if flood.signed:
            registers = registers_of(flood, turn)
            yield up[place], telegram(voices[place], counter=counter, registers=registers)
        else:
            yield up[place], _json(flood, names[place], counter, turn)


@lru_cache(maxsize=4)
def registers_of(flood: Flood, turn: int) -> tuple[tuple[int, int], ...]:
    """Return the registers of everybody's telegram of a turn, newest first."""
    last = (turn + 1) * flood.registers
    return tuple(
        (flood.start_s + hour * HOUR_S, flood.opening_dm3 + hour * flood.step_dm3)
        for hour in range(last, last - flood.registers, -1)
    )


def _json(flood: Flood, meter_id: str, counter: int, turn: int) -> bytes:
    """Return a telegram as plain JSON."""
    return f'{{"meter":"{meter_id}","counter":{counter},{_readings(flood, turn)}}}'.encode()


@lru_cache(maxsize=4)
def _readings(flood: Flood, turn: int) -> str:
    """Return what everybody's telegram of a turn has in common, oldest register first."""
    readings = ",".join(
        f'{{"at":"{datetime.fromtimestamp(at_s, UTC).isoformat()}","dm3":{register_dm3}}}'
        for at_s, register_dm3 in reversed(registers_of(flood, turn))
    )
    return f'"readings":[{readings}],"flags":[]'
