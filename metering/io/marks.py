"""The trusted readings beside those of a batch, asked for a telegram at a time where that will do.

A meter that catches up sends a day of registers into a stretch of time where nothing is stored:
then the marks on both sides of the telegram are those of each of its readings.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg

import sql
from metering.reading import Mark
from metering.telegram import Telegram

_Q: Final = sql.queries("metering")

Marks = dict[tuple[str, datetime], list[Mark]]


async def read_marks(connection: asyncpg.Connection, telegrams: Sequence[Telegram]) -> Marks:
    """Return, per installation, at least the nearest marks before and after every reading."""
    marks: Marks = {}
    crowded: set[int] = set()
    rows = _Q.read_marks_around(
        connection,
        meter_ids=[telegram.meter_id for telegram in telegrams],
        first_ats=[telegram.readings[0].read_at for telegram in telegrams],
        last_ats=[telegram.readings[-1].read_at for telegram in telegrams],
    )
    async for row in rows:
        _add(marks, row)
        if row["inside"]:
            crowded.add(row["stretch"] - 1)
    places = sorted(
        {(r.meter_id, r.read_at) for stretch in crowded for r in telegrams[stretch].readings}
    )
    if places:
        rows = _Q.read_marks(
            connection,
            meter_ids=[meter_id for meter_id, _ in places],
            read_ats=[read_at for _, read_at in places],
        )
        async for row in rows:
            _add(marks, row)
    return marks


def _add(marks: Marks, row: Any) -> None:  # noqa: ANN401 - a row of the driver
    marks.setdefault((row["meter_id"], row["installed_at"]), []).append(
        Mark(read_at=row["read_at"], register_dm3=row["register_dm3"], turns=row["turns"])
    )
