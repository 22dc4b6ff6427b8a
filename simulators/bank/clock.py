"""The bank's own clock: the system's, or one that only a conductor moves."""

from datetime import UTC, date, datetime, time


class ClockBackwardsError(ValueError):
    """A conductor asked the bank to go back in time."""


class Clock:
    """Tell the bank's time, in UTC, never going back."""

    def __init__(self, conducted_at: datetime | None) -> None:
        self.conducted = conducted_at is not None
        self._latest = conducted_at or datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """Return the present instant, cut to the milliseconds the wire carries."""
        if not self.conducted:
            # The bank is a world of its own and may not ask our service for the time.
            system = datetime.now(UTC)  # noqa: TID251
            self._latest = max(self._latest, floor_ms(system))
        return self._latest

    def move(self, to: datetime) -> None:
        """Set a conducted clock.

        :raises ClockBackwardsError: when `to` lies before the present instant.
        """
        assert self.conducted, "only a conducted clock can be moved"
        if to < self._latest:
            raise ClockBackwardsError(f"the bank is already at {stamp(self._latest)}")
        self._latest = floor_ms(to)


def floor_ms(instant: datetime) -> datetime:
    """Return the instant without its microseconds, which the wire does not carry."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def stamp(instant: datetime) -> str:
    """Return the instant as the contract writes it; such strings sort like instants."""
    text = instant.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """Read an instant that carries its zone.

    :raises ValueError: when it is no instant, names no zone, or lies outside of the years in UTC.
    """
    instant = datetime.fromisoformat(text)
    if instant.utcoffset() is None:
        raise ValueError("an instant must carry a time zone")
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("an instant must lie in the years 1 to 9999 of UTC") from error


def parse_day(text: str) -> date:
    """Read a calendar day written YYYY-MM-DD, in no other way of the standard.

    :raises ValueError: when it is none.
    """
    day = date.fromisoformat(text)
    if day.isoformat() != text:
        raise ValueError("a day is written YYYY-MM-DD")
    return day


def midnight(day: date) -> datetime:
    """Return the instant at which the bank begins the day's work."""
    return datetime.combine(day, time(), tzinfo=UTC)
