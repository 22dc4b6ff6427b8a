"""Who makes us keep too much: counted from there on instead of kept, and shown to a person."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

import sql
from metering.outcome import Evidence, Outcome
from metering.quota import REFUSED_MAX, STRANGERS_REFUSED_MAX, TELEGRAMS_MAX, Quota, thin

_Q: Final = sql.queries("metering")

# In a batch of at most so many telegrams everybody is counted. In a larger one only who has more
# than this part of it: what drowns in what others say is no flood, and counting it would cost.
_SMALL: Final = 100
_PARTS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one batch takes from the quotas when it is committed."""

    rows: Counter[str]
    telegrams: Counter[str]
    at: datetime


class Floods:
    """The quotas of everybody, for as long as the process lives."""

    def __init__(self) -> None:
        self._rows = Quota(REFUSED_MAX)
        self._strangers = Quota(STRANGERS_REFUSED_MAX)
        self._telegrams = Quota(TELEGRAMS_MAX)

    async def meet(
        self, connection: asyncpg.Connection, outcome: Outcome, at: datetime
    ) -> tuple[list[Evidence], Spent]:
        """Return the evidence that is worth a row, and what to spend; open a case for each flood.

        Cases are opened in the batch's own transaction.
        """
        rows = Counter(row.sender for row in outcome.evidence.values())
        over = {
            sender: many
            for sender, count in rows.items()
            if (many := (self._rows if sender else self._strangers).over(sender, count, at))
        }
        flooded = sorted(sender for sender in over if sender)
        await _open(
            connection, flooded, "refused_flood", f"more than {REFUSED_MAX} refused in a day", at
        )
        telegrams = _speakers(outcome)
        loud = sorted(
            meter_id for meter_id, count in telegrams.items()
            if self._telegrams.over(meter_id, count, at)
        )  # fmt: skip
        await _open(
            connection, loud, "telegram_flood", f"more than {TELEGRAMS_MAX} telegrams in a day", at
        )
        evidence = list(outcome.evidence.values())
        spent = Spent(rows=rows, telegrams=telegrams, at=at)
        return thin(evidence, over) if over else evidence, spent

    def spend(self, spent: Spent | None) -> None:
        """Remember what a committed batch took."""
        if spent is None:
            return
        strangers = Counter({"": spent.rows.pop("", 0)})
        self._rows.spend(spent.rows, spent.at)
        self._strangers.spend(strangers if strangers[""] else {}, spent.at)
        self._telegrams.spend(spent.telegrams, spent.at)


def _speakers(outcome: Outcome) -> Counter[str]:
    """Count the telegrams of each meter that may be a flood."""
    telegrams = outcome.telegrams
    if _SMALL < len(telegrams) <= len(outcome.heads):
        return Counter()
    found = Counter([telegram.meter_id for telegram in telegrams])
    if len(telegrams) <= _SMALL:
        return found
    least = len(telegrams) // _PARTS
    return Counter({meter_id: many for meter_id, many in found.items() if many > least})


async def _open(
    connection: asyncpg.Connection, meter_ids: Iterable[str], kind: str, detail: str, at: datetime
) -> None:
    """Put meters to a person, unless the same question is open."""
    for meter_id in meter_ids:
        await _Q.open_case(
            connection, meter_id=meter_id, kind=kind, detail=detail, evidence=None, at=at
        )
