"""A town of meters on one simulated clock: who lives, who writes, who has no network.

Registers depend on the seed, the start and the meter's number; never on the network.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from simulators.faults import Air
from simulators.household import HOURS_PER_DAY, Weather, hour_of, instant_of
from simulators.meter import Meter, Reading, StoreFullError, Telegram, hang
from simulators.scenario import Scenario
from simulators.signed import SERVER_KEY_BYTES, Identity, SignedVoice

ZONE: Final = ZoneInfo("Asia/Almaty")
# The protocol knows no later time.
_END_OF_TIME: Final = datetime(2100, 1, 1, tzinfo=UTC)


class PlanMismatchError(ValueError):
    """A kept truth was written by another seed, start or set of meters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """How far a meter had come: its last telegram, and what its dial totalled there."""

    at: datetime
    total_dm3: int
    counter: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a town is made from; the same plan makes the same town.

    With the public key of a service its meters sign, and believe that service alone.
    """

    seed: str
    count: int
    first_number: int
    prefix: str
    start: datetime
    registers_per_day: int
    scenario: Scenario
    first_counter: int = 0
    server_key: bytes | None = None

    def __post_init__(self) -> None:
        """Refuse a plan that no town could follow."""
        if self.start.utcoffset() is None or (self.start.minute, self.start.second) != (0, 0):
            raise ValueError("a town starts on a full hour, with a time zone")
        if self.count < 1 or self.first_number < 0:
            raise ValueError("a town has at least one meter, numbered from 0 or more")
        if self.registers_per_day not in (1, HOURS_PER_DAY):
            raise ValueError("a meter writes 1 or 24 registers per day")
        if self.server_key is not None and self.first_counter < 1:
            raise ValueError("the counters of signed telegrams begin with 1")
        if self.server_key is not None and len(self.server_key) != SERVER_KEY_BYTES:
            raise ValueError(f"a server's key has {SERVER_KEY_BYTES} bytes")

    def identity(self, meter_id: str) -> Identity:
        """Return who a meter is; its key follows from the seed."""
        return Identity.of(seed=self.seed, meter_id=meter_id)


@dataclass(slots=True, kw_only=True)
class Town:
    """All meters of a plan, and which telegrams still lie in a meter without network."""

    plan: Plan
    weather: Weather
    meters: dict[str, Meter]
    air: Air
    held: dict[str, list[Telegram]] = field(default_factory=dict)
    _cut_off_until: dict[str, datetime] = field(default_factory=dict)

    def midnights(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the local midnights of the half-open span (after, until]."""
        day = after.astimezone(ZONE).date()
        while (midnight := _midnight(day)) <= until:
            if midnight > after:
                yield midnight
            day += timedelta(days=1)

    def days(self, until: datetime | None) -> Iterator[tuple[Telegram, datetime]]:
        """Yield what the town writes day after day, each telegram with its midnight.

        Goes on for ever without an end. Raises StoreFullError.
        """
        after = instant_of(min(meter.lived_to_hour for meter in self.meters.values()))
        for midnight in self.midnights(after, until or _END_OF_TIME):
            for meter in self.meters.values():
                telegram = self.write(meter, midnight)
                if telegram is not None:
                    yield telegram, midnight

    def write(self, meter: Meter, midnight: datetime) -> Telegram | None:
        """Let a meter live to a midnight and write its day; None when it already has.

        Raises StoreFullError.
        """
        end = hour_of(midnight)
        if meter.lived_to_hour >= end:
            return None
        if meter.store.is_full:
            raise StoreFullError(meter.plate.meter_id)
        begin = end if self.plan.registers_per_day == 1 else meter.lived_to_hour + 1
        readings: list[Reading] = []
        for hour in range(begin, end + 1):
            meter.live_to(hour, self.weather)
            readings.append(self._look(meter))
        telegram = meter.store.write(readings)
        self.held.setdefault(telegram.meter_id, []).append(telegram)
        return telegram

    def next_hour(self, meter: Meter) -> Reading:
        """Let a meter live one more hour and return its dial; nothing is written."""
        meter.live_to(meter.lived_to_hour + 1, self.weather)
        return self._look(meter)

    def cut_off(self, meter_ids: Iterable[str], until: datetime) -> None:
        """Take the network from some meters until an instant; raises KeyError for a stranger."""
        for meter_id in meter_ids:
            self._cut_off_until[self.meters[meter_id].plate.meter_id] = until

    def is_silent(self, meter: Meter, at: datetime) -> bool:
        """Say whether a meter has no network at an instant."""
        until = self._cut_off_until.get(meter.plate.meter_id)
        if until is not None and at < until:
            return True
        fault = self.plan.scenario.silent
        return fault is not None and fault.strikes(
            seed=self.plan.seed, number=meter.plate.number, day=self.day_of(at)
        )

    def release(self, meter_id: str, at: datetime) -> list[Telegram]:
        """Return what a meter hands to the network at an instant, in the order it leaves."""
        if meter_id not in self.held or self.is_silent(self.meters[meter_id], at):
            return []
        return self.air.order(self.held.pop(meter_id))

    def release_all(self) -> list[Telegram]:
        """Return everything that still lies in meters: the network is back for everyone."""
        released: list[Telegram] = []
        for meter_id in list(self.held):
            released += self.air.order(self.held.pop(meter_id))
        return released

    def day_of(self, at: datetime) -> int:
        """Return how many local midnights have passed since the start of the town."""
        return (at.astimezone(ZONE).date() - self.plan.start.astimezone(ZONE).date()).days

    def resume(self, lived: Mapping[str, Lived], answered: Mapping[str, Mapping[int, str]]) -> None:
        """Live again what is on file: the same days, the same telegrams, without those answered.

        `answered` holds, per meter and counter, the reason of a refusal or "" for the others.
        Raises PlanMismatchError when this plan would not have written that file.
        """
        for meter_id, last in lived.items():
            meter = self.meters.get(meter_id)
            if meter is None:
                raise PlanMismatchError(f"the file knows {meter_id}, this plan does not")
            known = answered.get(meter_id, {})
            for midnight in self.midnights(self.plan.start, last.at):
                telegram = self.write(meter, midnight)
                if telegram is None:
                    continue
                telegram.old = True
                if telegram.counter in known:
                    self.held[meter_id].remove(telegram)
                    meter.store.forget(telegram.counter, known[telegram.counter])
            if self.lived(meter_id) != last:
                raise PlanMismatchError(f"the file of {meter_id} came from another plan")

    def lived(self, meter_id: str) -> Lived:
        """Return how far a meter has come, as its truth says it; raises KeyError for a stranger."""
        meter = self.meters[meter_id]
        return Lived(
            at=instant_of(meter.lived_to_hour),
            total_dm3=meter.total_dm3,
            counter=meter.store.next_counter - 1,
        )

    def _look(self, meter: Meter) -> Reading:
        """Return the dial of a meter with the time its own clock shows."""
        right = meter.look(ZONE)
        fault = self.plan.scenario.clock
        if fault is None:
            return right
        claimed_at = fault.claim(
            seed=self.plan.seed,
            number=meter.plate.number,
            day=self.day_of(right.at),
            at=right.at,
        )
        return replace(right, claimed_at=claimed_at)


def build(plan: Plan) -> Town:
    """Return the town of a plan at its start, every meter at its opening register."""
    weather = Weather(seed=plan.seed)
    meters: dict[str, Meter] = {}
    for number in range(plan.first_number, plan.first_number + plan.count):
        meter = hang(
            seed=plan.seed,
            number=number,
            meter_id=f"{plan.prefix}{number:06d}",
            start=plan.start,
            first_counter=plan.first_counter,
        )
        if plan.server_key is not None:
            identity = plan.identity(meter.plate.meter_id)
            meter.store.voice = SignedVoice(identity=identity, server_key=plan.server_key)
        _age(meter, plan, weather)
        meters[meter.plate.meter_id] = meter
    return Town(plan=plan, weather=weather, meters=meters, air=plan.scenario.air(plan.seed))


def _age(meter: Meter, plan: Plan, weather: Weather) -> None:
    """Put an old dial so near its end that it wraps after the days the scenario leaves it."""
    fault = plan.scenario.old_dial
    days = None if fault is None else fault.days_left(seed=plan.seed, number=meter.plate.number)
    if days is None:
        return
    start = meter.lived_to_hour
    left_dm3 = meter.household.between_dm3(start, start + days * HOURS_PER_DAY, weather)
    plate = meter.plate
    opening_dm3 = plate.dial_dm3 - max(left_dm3, plate.step_dm3)
    meter.plate = replace(plate, opening_dm3=opening_dm3 - opening_dm3 % plate.step_dm3)


def _midnight(day: date) -> datetime:
    """Return the instant at which a local day begins."""
    return datetime.combine(day, time(), ZONE).astimezone(UTC)
