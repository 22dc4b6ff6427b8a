"""Gas used, derived again from readings: the audit's own sums, apart from the run's SQL."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from metering.installation import Installation
from metering.reading import Mark

# A register this old still stands for an instant: a daily meter that misses one telegram has none.
REGISTER_AGE_MAX: Final = timedelta(hours=24)


def register_at(
    instant: datetime,
    *,
    installation: Installation,
    chained: Mapping[datetime, Mark],
    billable: Iterable[Mark],
) -> Mark | None:
    """Return the mark that stands for a boundary instant of a billing period, or None.

    In this order: the installation's own opening or closing when the instant is one of its ends;
    the mark that a usage of this installation already began or ended with at that instant
    (``chained``), so that no gas is counted twice or lost; the latest billable reading of this
    installation that is younger than 24 hours.
    """
    if instant == installation.installed_at:
        return installation.opening
    closing = installation.closing
    if closing is not None and instant == closing.read_at:
        return closing
    if instant in chained:
        return chained[instant]
    return max(
        (
            mark
            for mark in billable
            if installation.holds(mark.read_at)
            and instant - REGISTER_AGE_MAX < mark.read_at <= instant
        ),
        key=lambda mark: mark.read_at,
        default=None,
    )


def volume_dm3(*, opening: Mark, closing: Mark, dial_dm3: int) -> int:
    """Return the gas in dm3 between two marks of one installation.

    Raises:
        ValueError: the closing stands below the opening, which no line of marks allows.
    """
    volume = closing.total_dm3(dial_dm3) - opening.total_dm3(dial_dm3)
    if volume < 0:
        raise ValueError("the closing mark stands below the opening mark")
    return volume
