"""What a meter keeps while it has no network, and how it comes out again.

A meter logs registers, not telegrams: a register gets its counter and its signature when it is
packed to be sent, and from then on only a receipt removes it. Catching up, the meters of a town
take turns, so that nobody waits for a neighbour's whole backlog.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Final

from simulators.household import HOURS_PER_DAY
from simulators.meter import TELEGRAMS_KEPT_MAX, Errand, Reading, Telegram
from simulators.town import Town
from simulators.wire import READINGS_PER_TELEGRAM_MAX

# A hundred days of hourly registers; a real module promises ninety.
REGISTERS_KEPT_MAX: Final = 100 * HOURS_PER_DAY


@dataclass(slots=True, kw_only=True)
class Log:
    """Registers that were never sent, oldest first; a full log gives up its oldest and counts it.

    The oldest goes because a bill needs the newest, and what is lost must be seen to be lost.
    """

    readings: deque[Reading] = field(default_factory=deque)
    overwritten: int = 0

    def add(self, reading: Reading) -> None:
        """Keep a register."""
        if len(self.readings) >= REGISTERS_KEPT_MAX:
            self.readings.popleft()
            self.overwritten += 1
        self.readings.append(reading)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """How a meter packs its log: registers per telegram, and which end of the log goes first.

    With `live_first` the newest register leaves alone and at once, then the rest, newest first.
    """

    registers: int = 24
    live_first: bool = True

    def __post_init__(self) -> None:
        """Refuse a telegram that the wire does not carry."""
        if not 1 <= self.registers <= READINGS_PER_TELEGRAM_MAX:
            raise ValueError(f"a telegram carries 1 to {READINGS_PER_TELEGRAM_MAX} registers")

    def pack(self, readings: Sequence[Reading]) -> list[tuple[Reading, ...]]:
        """Return what each telegram carries, in the order they leave; `readings` oldest first."""
        if not self.live_first:
            starts = range(0, len(readings), self.registers)
            return [tuple(readings[start : start + self.registers]) for start in starts]
        ends = range(len(readings) - 1, 0, -self.registers)
        older = [tuple(readings[max(0, end - self.registers) : end]) for end in ends]
        return [tuple(readings[-1:]), *older] if readings else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Hours in which nobody has a network, and hours of ordinary life while the town catches up.

    In the ``calm_hours`` after that nobody owes anything: what they take is what to compare with.
    """

    hours: int = 72
    live_hours: int = 6
    calm_hours: int = 0
    packing: Packing = field(default_factory=Packing)

    def __post_init__(self) -> None:
        """Refuse an outage without an end, or more telegrams than a meter keeps in flight."""
        if self.hours < 1 or self.live_hours < 1:
            raise ValueError("an outage and the life after it last an hour at least")
        logged = min(self.hours, REGISTERS_KEPT_MAX)
        lived = self.live_hours + self.calm_hours
        if logged // self.packing.registers + 2 + lived > TELEGRAMS_KEPT_MAX:
            raise ValueError("so many telegrams do not fit into a meter: pack more registers")


def endure(town: Town, hours: int) -> dict[str, Log]:
    """Let a town live without a network and return each meter's log of hourly registers."""
    logs = {meter_id: Log() for meter_id in town.meters}
    for meter_id, meter in town.meters.items():
        for _ in range(hours):
            logs[meter_id].add(town.next_hour(meter))
    return logs


def catch_up(town: Town, logs: Mapping[str, Log], packing: Packing) -> list[Telegram]:
    """Empty the logs into telegrams and return these in a fair order."""
    of_meters: list[list[Telegram]] = []
    for meter_id, log in logs.items():
        store = town.meters[meter_id].store
        parts = packing.pack(list(log.readings))
        of_meters.append([store.write(part, Errand.OWED) for part in parts])
        log.readings.clear()
    return list(fair(of_meters))


def fair(of_meters: Iterable[Sequence[Telegram]]) -> Iterator[Telegram]:
    """Yield the telegrams of many meters in turns: everybody's first, then everybody's second."""
    turns = zip_longest(*of_meters)
    return (telegram for telegram in chain.from_iterable(turns) if telegram is not None)


def live(town: Town, errand: Errand = Errand.LIVE) -> list[Telegram]:
    """Let everybody live another hour and return their telegrams of one register."""
    return [meter.store.write([town.next_hour(meter)], errand) for meter in town.meters.values()]


def waves(town: Town, backlog: Sequence[Telegram], outage: Outage) -> Iterator[list[Telegram]]:
    """Yield, hour by hour, a share of the backlog together with the live telegrams of that hour."""
    count = outage.live_hours
    for hour in range(count):
        share = backlog[len(backlog) * hour // count : len(backlog) * (hour + 1) // count]
        now = live(town)
        yield [*now, *share] if outage.packing.live_first else [*share, *now]
