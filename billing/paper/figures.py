"""Figures as people of each language write them. All are exact but the whole m3 above a bar."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from billing.paper.words import Language
from billing.period import zone_of

# A space that does not break a number over two lines.
NBSP: Final = "\u00a0"
MINUS: Final = "\u2212"

# A tiyn is a hundredth of a tenge, a dm3 a thousandth of a m3, a Wh a thousandth of a kWh.
_MINOR_DIGITS: Final = 2
_DM3_PER_M3: Final = 1_000
_MILLI_DIGITS: Final = 3
# Minor units per 1000 m3 are 10**5 times the major unit per m3; per GWh 10**8 times that per kWh.
_PER_M3_DIGITS: Final = 5
_PER_KWH_DIGITS: Final = 8
_BP_OF_PERCENT_DIGITS: Final = 2
_BP_OF_ONE_DIGITS: Final = 4

_SIGNS: Final = {"KZT": "\u20b8", "EUR": "\u20ac", "GBP": "\u00a3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Writes numbers and days of one language, currency and zone."""

    language: Language
    currency: str
    zone: str

    def money(self, minor: int, *, signed: bool = False) -> str:
        """Write an amount in minor units: ``1 234,50 ₸``."""
        return self._with_sign(self._decimal(minor, _MINOR_DIGITS, signed=signed))

    def m3(self, volume_dm3: int, *, signed: bool = False) -> str:
        """Write a volume in m3 to the litre, without its unit: ``34,567``."""
        return self._decimal(volume_dm3, _MILLI_DIGITS, signed=signed)

    def round_m3(self, volume_dm3: int) -> str:
        """Write a volume in whole m3, for where there is no room for more; half a m3 counts up."""
        return self.whole((volume_dm3 + _DM3_PER_M3 // 2) // _DM3_PER_M3)

    def kwh(self, energy_wh: int) -> str:
        """Write energy in kWh to the watt-hour, without its unit."""
        return self._decimal(energy_wh, _MILLI_DIGITS)

    def per_m3(self, net_minor_per_1000_m3: int) -> str:
        """Write a price per m3 with all its five decimals."""
        return self._with_sign(self._decimal(net_minor_per_1000_m3, _PER_M3_DIGITS))

    def per_kwh(self, net_minor_per_gwh: int) -> str:
        """Write a price per kWh, without the zeros at its end."""
        return self._with_sign(self._decimal(net_minor_per_gwh, _PER_KWH_DIGITS, at_least=2))

    def thousandths(self, minor_per_1000: int) -> str:
        """Write a price of which a thousand were given in minor units."""
        return self._with_sign(
            self._decimal(minor_per_1000, _MINOR_DIGITS + _MILLI_DIGITS, at_least=_MINOR_DIGITS)
        )

    def percent(self, basis_points: int) -> str:
        """Write basis points as per cent: ``16 %``."""
        space = "" if self.language is Language.EN else NBSP
        return f"{self._decimal(basis_points, _BP_OF_PERCENT_DIGITS, at_least=0)}{space}%"

    def times(self, basis_points: int) -> str:
        """Write basis points as a multiplier: ``1,3``."""
        return self._decimal(basis_points, _BP_OF_ONE_DIGITS, at_least=0)

    def tenths(self, tenths: int) -> str:
        """Write a number of tenths."""
        return self._decimal(tenths, 1, at_least=0)

    def whole(self, value: int) -> str:
        """Write a whole number."""
        return self._decimal(value, 0)

    def day(self, day: date) -> str:
        """Write a day: ``31.01.2026``, in English ``2026-01-31``, which nobody reads as another."""
        return day.isoformat() if self.language is Language.EN else f"{day:%d.%m.%Y}"

    def days(self, first: date, last: date) -> str:
        """Write days from the first to the last, both of them meant."""
        return (
            f"{self.day(first)}{NBSP}\u2013 {self.day(last)}" if first != last else self.day(first)
        )

    def local(self, at: str) -> datetime:
        """Return an instant of a record in the town's zone."""
        return datetime.fromisoformat(at).astimezone(UTC).astimezone(zone_of(self.zone))

    def minute(self, at: str) -> str:
        """Write an instant of a record to the minute, as the town's clocks showed it."""
        local = self.local(at)
        return f"{self.day(local.date())}{NBSP}{local:%H:%M}"

    def _with_sign(self, number: str) -> str:
        return f"{number}{NBSP}{_SIGNS.get(self.currency, self.currency)}"

    def _decimal(
        self, value: int, digits: int, *, at_least: int | None = None, signed: bool = False
    ) -> str:
        """Write value / 10**digits; zeros at its end go until ``at_least`` decimals are left."""
        whole, rest = divmod(abs(value), 10**digits)
        decimals = f"{rest:0{digits}d}" if digits else ""
        if at_least is not None:
            kept = decimals.rstrip("0")
            decimals = kept.ljust(at_least, "0")
        mark, point = (",", ".") if self.language is Language.EN else (NBSP, ",")
        text = f"{whole:,}".replace(",", mark) + (f"{point}{decimals}" if decimals else "")
        if value < 0:
            return f"{MINUS}{text}"
        return f"+{text}" if signed and value > 0 else text
