"""The rate limit: so many requests in a minute of the bank's clock, told in every answer."""

from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Final

from simulators.bank import errors

# The contract's allowance per minute: shown while no limit is switched on.
PER_MINUTE_SHOWN: Final = 1000
PER_MINUTE_MAX: Final = 1_000_000


class Pace:
    """Counts the requests of the present minute; without a limit it only shows the contract's."""

    def __init__(self, per_minute: int | None = None) -> None:
        self.per_minute = per_minute
        self._minute: datetime | None = None
        self._taken = 0

    def limit(self, per_minute: int | None) -> None:
        """Switch the limit to so many a minute, or off, and count anew."""
        self.per_minute = per_minute
        self._taken = 0

    def take(self, at: datetime) -> None:
        """Count one request.

        :raises BankError: 429 when the minute's allowance is used up.
        """
        minute = at.replace(second=0, microsecond=0)
        if minute != self._minute:
            self._minute, self._taken = minute, 0
        if self.per_minute is not None and self._taken >= self.per_minute:
            raise errors.rate_limited()
        self._taken += 1

    def headers(self, at: datetime, *, refused: bool) -> dict[str, str]:
        """Return what an answer tells of the allowance."""
        limit = self.per_minute or PER_MINUTE_SHOWN
        left = limit if self.per_minute is None else max(limit - self._taken, 0)
        reset_at = at.replace(second=0, microsecond=0) + timedelta(minutes=1)
        return {
            "ratelimit-limit": str(limit),
            "ratelimit-remaining": "0" if refused else str(left),
            "ratelimit-reset": format_datetime(reset_at, usegmt=True),
        }
