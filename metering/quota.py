"""How much one sender may make us keep: so much at once, and the same again in a day.

Nothing is turned away for it. Who has spent the quota is counted instead of kept piece by piece,
and shown to a person.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from metering.outcome import Evidence
from metering.telegram import DETAIL_CHARS_MAX, RefusalReason, printable

# Ninety days of hourly telegrams, the longest catch-up there is, are 2,160; twice that is a flood.
TELEGRAMS_MAX: Final = 5_000
# Twice the rows of evidence that a meter may have, and twice those that all strangers share: what
# comes after that would only push out what was as good.
REFUSED_MAX: Final = 2_000
STRANGERS_REFUSED_MAX: Final = 20_000
# How many senders are remembered; who has been quiet for longest is forgotten first.
SENDERS_MAX: Final = 10_000

_DAY: Final = timedelta(days=1)


class Quota:
    """What senders have spent of ``most``, which comes back evenly within a day.

    It lives in memory: after a restart everybody begins anew, and is found again as fast.
    """

    def __init__(self, most: int, *, senders_max: int = SENDERS_MAX) -> None:
        self._most = most
        self._senders_max = senders_max
        self._spent: dict[str, tuple[float, datetime]] = {}

    def over(self, sender: str, count: int, at: datetime) -> int:
        """Return how many of ``count`` more would go beyond the quota; nothing is spent."""
        return min(count, max(0, ceil(self._level(sender, at) + count - self._most)))

    def spend(self, counts: Mapping[str, int], at: datetime) -> None:
        """Remember what senders said; nobody owes more than the quota."""
        for sender, count in counts.items():
            level = min(self._level(sender, at) + count, self._most)
            self._spent.pop(sender, None)
            self._spent[sender] = (level, at)
        while len(self._spent) > self._senders_max:
            del self._spent[next(iter(self._spent))]

    def _level(self, sender: str, at: datetime) -> float:
        spent, since = self._spent.get(sender, (0.0, at))
        return max(0.0, spent - self._most * max(at - since, timedelta()) / _DAY)


def thin(evidence: Iterable[Evidence], over: Mapping[str, int]) -> list[Evidence]:
    """Return the evidence with so many rows of each sender counted into one per reason.

    The first rows stay. Of the others the last one stands for all, and ``times`` says for how many.
    """
    left = dict(over)
    kept: list[Evidence] = []
    last: dict[tuple[str, RefusalReason], Evidence] = {}
    times: Counter[tuple[str, RefusalReason]] = Counter()
    for row in reversed(list(evidence)):
        if left.get(row.sender, 0) <= 0:
            kept.append(row)
            continue
        left[row.sender] -= 1
        last.setdefault((row.sender, row.reason), row)
        times[row.sender, row.reason] += row.times
    return kept[::-1] + [
        replace(
            row,
            times=times[key],
            detail=printable(f"one of {times[key]}: {row.detail}", DETAIL_CHARS_MAX),
        )
        for key, row in last.items()
    ]
