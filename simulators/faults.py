"""What goes wrong between a dial and the service: silent, twice, shuffled, garbled, a wrong clock.

Every decision is a function of the seed, the meter and the counter, so a seed replays its faults
whatever the network does.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from simulators.household import luck, pick
from simulators.meter import Telegram

_PER_MILLE: Final = 1000
# When a module without battery backup believes it wakes up: its first full day, anywhere on earth.
_FACTORY_DATE: Final = (2000, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """One meter in `every` has no network for some days; it stores and forwards later."""

    every: int
    first_day: int
    days: int

    def strikes(self, *, seed: str, number: int, day: int) -> bool:
        """Say whether a meter is cut off on a day, days counted from the start of the town."""
        held = self.first_day <= day < self.first_day + self.days
        return held and chosen(seed, "silent", number, self.every)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongClock:
    """One meter in `every` has a wrong clock for some days: ahead, or reset to its factory date."""

    every: int
    first_day: int
    days: int
    ahead: timedelta | None

    def claim(self, *, seed: str, number: int, day: int, at: datetime) -> datetime:
        """Return the time that the meter believes it is at `at`."""
        spoiled = self.first_day <= day < self.first_day + self.days
        if not spoiled or not chosen(seed, "clock", number, self.every):
            return at
        if self.ahead is not None:
            return at + self.ahead
        # It runs on from there, one day a day.
        year, month, date = _FACTORY_DATE
        return at.replace(year=year, month=month, day=date) + timedelta(days=day - self.first_day)


@dataclass(frozen=True, slots=True, kw_only=True)
class OldDial:
    """One meter in `every` hangs so near the end of its dial that it wraps within some days."""

    every: int
    days_min: int
    days_max: int

    def days_left(self, *, seed: str, number: int) -> int | None:
        """Return after how many days of use the dial of a meter wraps, or None for most."""
        if not chosen(seed, "old-dial", number, self.every):
            return None
        return pick(luck(seed, "old-dial", number), 0, self.days_min, self.days_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Air:
    """What the network does to single telegrams, in per mille of them."""

    seed: str
    twice_per_mille: int = 0
    garbled_per_mille: int = 0
    shuffled: bool = False

    def carry(self, telegram: Telegram) -> tuple[bytes, ...]:
        """Return what arrives when a telegram is sent; only its first try is ever harmed."""
        if telegram.sends > 1 or telegram.old:
            return (telegram.payload,)
        if self._happens("garbled", telegram, self.garbled_per_mille):
            return (garble(telegram.payload, luck(self.seed, "cut", *_name(telegram))),)
        if self._happens("twice", telegram, self.twice_per_mille):
            return telegram.payload, telegram.payload
        return (telegram.payload,)

    def order(self, backlog: list[Telegram]) -> list[Telegram]:
        """Return a backlog in the order in which it leaves the meter."""
        if not self.shuffled:
            return backlog
        return sorted(backlog, key=lambda telegram: luck(self.seed, "order", *_name(telegram)))

    def _happens(self, name: str, telegram: Telegram, per_mille: int) -> bool:
        """Say whether a fault meets this telegram."""
        if not per_mille:
            return False
        return pick(luck(self.seed, name, *_name(telegram)), 0, 0, _PER_MILLE - 1) < per_mille


def garble(payload: bytes, dice: bytes) -> bytes:
    """Return a payload that lost its tail or had a byte burnt; it never is valid JSON again."""
    place = pick(dice, 1, 1, len(payload) - 1)
    if dice[0] % 2:
        return payload[:place]
    return payload[:place] + b"\xff" + payload[place + 1 :]


def chosen(seed: str, name: str, number: int, every: int) -> bool:
    """Say whether a fault meets a meter: exactly one of each `every` consecutive numbers."""
    return number % every == pick(luck(seed, name), 0, 0, every - 1)


def _name(telegram: Telegram) -> tuple[str, int]:
    """Return the words that make a telegram's luck its own."""
    return telegram.meter_id, telegram.counter
