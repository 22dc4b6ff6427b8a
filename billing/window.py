"""A billing month as the rules of belief and of estimating see it."""

from billing.period import Period
from metering.survey import Days, Window


def window_of(period: Period, zone: str) -> Window:
    """Return a month as the rules see it: its instants, the month before, the same last year."""
    start_at, end_at = period.bounds(zone)
    before = period.before()
    last_year = Period.month(period.start.year - 1, period.start.month)
    return Window(
        days=Days(start=period.start, end=period.end),
        start_at=start_at,
        end_at=end_at,
        previous=Days(start=before.start, end=before.end),
        last_year=Days(start=last_year.start, end=last_year.end),
    )
