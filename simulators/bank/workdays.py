"""Working days of a rail: when its files leave, and on which days it moves money.

Holidays come from the `holidays` library, which knows them until 2100. Days are the bank's, in UTC.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from holidays import HolidayBase, country_holidays, financial_holidays

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The days on which a rail works, and the hour after which today's file has left."""

    holidays: HolidayBase
    cut_off: time

    def works_on(self, day: date) -> bool:
        """Say whether the rail moves money on a day."""
        return self.holidays.is_working_day(day)

    def roll(self, day: date) -> date:
        """Return the day itself, or the next working day when it is none."""
        while not self.works_on(day):
            day += _DAY
        return day

    def after(self, day: date, working_days: int) -> date:
        """Return the day so many working days after a day."""
        for _ in range(working_days):
            day = self.roll(day + _DAY)
        return day

    def file_day(self, at: datetime) -> date:
        """Return the day whose file still takes an order given at an instant."""
        day = at.date()
        return self.roll(day if at.time() < self.cut_off else day + _DAY)


# 16:00 in Almaty.
KZ: Final = Calendar(holidays=country_holidays("KZ"), cut_off=time(11))
# The days of TARGET; 16:00 in Frankfurt in winter.
TARGET: Final = Calendar(holidays=financial_holidays("ECB"), cut_off=time(15))
