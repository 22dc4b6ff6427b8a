"""The question about a meter that claims firmware nobody approved, asked as telegrams are kept."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import asyncpg

import sql
from metering.firmware import PREFIX_BYTES_MIN, claims
from metering.head import Head
from metering.telegram import Telegram

_Q: Final = sql.queries("firmware")


async def ask_about_firmware(
    conn: asyncpg.Connection,
    telegrams: Sequence[Telegram],
    heads: Mapping[str, Head],
    *,
    at: datetime,
) -> None:
    """Open a case for each claim that is not approved, and remember those that need no more asking.

    A meter that repeats itself costs nothing: its head says what was looked at. Whoever changes the
    list holds the buckets, so that heads are read again and everybody is compared anew.
    """
    asked = sorted(claims(telegrams, heads))
    if not asked:
        return
    rows = _Q.ask_about_firmware(
        conn,
        meter_ids=[meter_id for meter_id, _ in asked],
        firmwares=[firmware for _, firmware in asked],
        prefix_min=PREFIX_BYTES_MIN,
        at=at,
    )
    async for row in rows:
        heads[row["meter_id"]].firmware = row["firmware"]
