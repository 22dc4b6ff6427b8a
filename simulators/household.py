"""How a home burns gas, hour by hour, from a seed.

Whole numbers only: no platform, process or Python version may round one differently. An hour is
counted in whole hours since 1970 UTC. Habits follow a fixed UTC+5 day, which is close enough for
people and does not jump when the law moves the clock.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Self

HOURS_PER_DAY: Final = 24
_HABIT_OFFSET_H: Final = 5
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# Mean temperature of the months in tenths of a degree, in the middle of each: the steppe of Akmola.
_MONTH_MEAN_DC: Final = (-160, -155, -90, 50, 130, 190, 205, 180, 120, 35, -65, -130)
_MONTH_MIDDLE_DAY: Final = 15
# A cold or warm spell lasts some days: each day blends the luck of five.
_SPELL: Final = (5, 4, 3, 2, 1)
_SPELL_GAIN: Final = 2
# The extremes of a day's mean around its season.
_SPELL_DC_MAX: Final = 140
# The course of a day around its mean, by habit hour, in tenths of a degree; it sums to zero.
_DAY_COURSE_DC: Final = (
    -20, -25, -30, -34, -37, -39, -40, -34, -22, -8, 10, 24,
    34, 40, 44, 45, 43, 36, 26, 16, 4, -4, -10, -19,
)  # fmt: skip

# A lit boiler heats while it is colder outside than this.
_HEATING_BASE_DC: Final = 180
# It is lit on days colder than this, but stays out while the calendar promises summer.
_LIT_BELOW_DC: Final = 100
_SUMMER_DC: Final = 140
# Shares of the day by habit hour, per thousand: cooler nights, warm mornings and evenings.
_HEATING_PERCENT: Final = (
    88, 86, 85, 86, 90, 99, 112, 115, 111, 105, 102, 101,
    99, 98, 98, 99, 101, 105, 109, 110, 108, 104, 98, 93,
)  # fmt: skip
_WATER_PER_MILLE: Final = (
    8, 4, 3, 3, 6, 25, 78, 92, 70, 45, 35, 34,
    38, 36, 30, 30, 38, 52, 72, 88, 84, 66, 43, 20,
)  # fmt: skip
_COOKING_PER_MILLE: Final = (
    3, 2, 2, 2, 5, 22, 66, 85, 50, 28, 32, 66,
    98, 74, 30, 22, 34, 70, 112, 96, 52, 28, 14, 7,
)  # fmt: skip


def luck(*words: str | int) -> bytes:
    """Return 64 bytes that depend on the words alone; the only dice of the simulators."""
    return hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=64).digest()


def pick(dice: bytes, place: int, low: int, high: int) -> int:
    """Return a whole number from low to high, both included, from two bytes of the dice."""
    return low + int.from_bytes(dice[2 * place : 2 * place + 2]) % (high - low + 1)


def _divide(numerator: int, denominator: int) -> int:
    """Return the quotient rounded half up; the numerator is not negative."""
    return (2 * numerator + denominator) // (2 * denominator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """The outdoor temperature of one town, shared by all its homes."""

    seed: str
    _days: dict[int, tuple[tuple[int, ...], bool]] = field(default_factory=dict, repr=False)

    def day_dc(self, day: int) -> tuple[int, ...]:
        """Return 24 hourly temperatures of a habit day, in tenths of a degree Celsius."""
        return self._day(day)[0]

    def boilers_lit(self, day: int) -> bool:
        """Say whether the homes of the town heat on this day."""
        return self._day(day)[1]

    def _day(self, day: int) -> tuple[tuple[int, ...], bool]:
        """Return temperatures and boilers of a day, worked out once for all homes."""
        known = self._days.get(day)
        if known is None:
            mean_dc = self.mean_dc(day)
            lit = mean_dc < _LIT_BELOW_DC and _season_dc(day) < _SUMMER_DC
            known = tuple(mean_dc + course_dc for course_dc in _DAY_COURSE_DC), lit
            self._days[day] = known
        return known

    def mean_dc(self, day: int) -> int:
        """Return the mean of a habit day (days since 1970), in tenths of a degree Celsius."""
        blend = sum(
            weight * pick(luck(self.seed, "weather", day - back), 0, -100, 100)
            for back, weight in enumerate(_SPELL)
        )
        spell_dc = _SPELL_GAIN * blend // sum(_SPELL)
        return _season_dc(day) + max(-_SPELL_DC_MAX, min(_SPELL_DC_MAX, spell_dc))


def _season_dc(day: int) -> int:
    """Return what the calendar promises for a day, on a line between the middles of two months."""
    date = (_EPOCH + timedelta(days=day)).date()
    this = date.replace(day=_MONTH_MIDDLE_DAY)
    if date < this:
        before, after = (this - timedelta(days=31)).replace(day=_MONTH_MIDDLE_DAY), this
    else:
        before, after = this, (this + timedelta(days=31)).replace(day=_MONTH_MIDDLE_DAY)
    low_dc, high_dc = _MONTH_MEAN_DC[before.month - 1], _MONTH_MEAN_DC[after.month - 1]
    return low_dc + (high_dc - low_dc) * (date - before).days // (after - before).days


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """One home: how leaky its walls are, how many people wash and cook in it."""

    seed: str
    number: int
    qmax_dm3_h: int
    loss_dm3_per_k_h: int
    people: int
    water_dm3_per_person_day: int
    cooking_dm3_per_day: int
    # The day last asked for: hour by hour it is asked for 24 times.
    _last: dict[int, tuple[int, ...]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, *, seed: str, number: int, qmax_dm3_h: int) -> Self:
        """Return the home that this seed puts behind this meter number."""
        dice = luck(seed, "household", number)
        return cls(
            seed=seed,
            number=number,
            qmax_dm3_h=qmax_dm3_h,
            loss_dm3_per_k_h=pick(dice, 0, 12, 24),
            people=pick(dice, 1, 1, 5),
            water_dm3_per_person_day=pick(dice, 2, 180, 260),
            cooking_dm3_per_day=pick(dice, 3, 150, 350),
        )

    def day_dm3(self, day: int, weather: Weather) -> tuple[int, ...]:
        """Return the dm3 burned in each of the 24 hours of a habit day, at most qmax_dm3_h each."""
        dice = luck(self.seed, "day", self.number, day)
        outdoor_dc = weather.day_dc(day)
        lit = weather.boilers_lit(day)
        water_dm3 = self.people * self.water_dm3_per_person_day
        used: list[int] = []
        for hour in range(HOURS_PER_DAY):
            heating = 0
            if lit and outdoor_dc[hour] < _HEATING_BASE_DC:
                cold_dc = _HEATING_BASE_DC - outdoor_dc[hour]
                restless = 90 + dice[hour] % 21
                heating = self.loss_dm3_per_k_h * cold_dc * _HEATING_PERCENT[hour] * restless
            # Water and cooking come in fits: between 40 and 160 percent of the usual hour.
            fits = 40 + dice[HOURS_PER_DAY + hour] % 121
            usual = (
                water_dm3 * _WATER_PER_MILLE[hour]
                + self.cooking_dm3_per_day * _COOKING_PER_MILLE[hour]
            )
            # Both shares stand over 100,000: per cent twice and tenths, or per mille and per cent.
            used.append(min(self.qmax_dm3_h, _divide(heating + usual * fits, 100_000)))
        return tuple(used)

    def between_dm3(self, start_hour: int, end_hour: int, weather: Weather) -> int:
        """Return the gas burned in the hours [start, end), hours counted from 1970 UTC."""
        total_dm3, hour = 0, start_hour
        while hour < end_hour:
            day, first = divmod(hour + _HABIT_OFFSET_H, HOURS_PER_DAY)
            last = min(HOURS_PER_DAY, first + end_hour - hour)
            if day not in self._last:
                self._last.clear()
                self._last[day] = self.day_dm3(day, weather)
            total_dm3 += sum(self._last[day][first:last])
            hour += last - first
        return total_dm3


def hour_of(at: datetime) -> int:
    """Return the hours since 1970 UTC of an instant that stands on a full hour."""
    seconds = (at - _EPOCH) // timedelta(seconds=1)
    assert seconds % 3600 == 0, "meters read their registers on the full hour"
    return seconds // 3600


def instant_of(hour: int) -> datetime:
    """Return the instant, in UTC, at which an hour begins."""
    return _EPOCH + timedelta(hours=hour)
