"""Refused messages, kept with their reasons: enough to see what they were, and no more."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg

import sql
from metering.outcome import Evidence
from metering.telegram import RefusalReason

# A registered meter that is refused more often than this has one fault, not a thousand.
EVIDENCE_ROWS_MAX: Final = 1_000
# Everybody we do not know shares this much room.
STRANGERS_ROWS_MAX: Final = 10_000
# So many unproven telegrams in a meter's name within a day are more than noise on a wire.
FORGED_TIMES_MIN: Final = 5
FORGED_WITHIN: Final = timedelta(days=1)
UNPROVEN: Final = (
    RefusalReason.BAD_SIGNATURE.value,
    RefusalReason.UNKNOWN_KEY.value,
    RefusalReason.WRONG_ALGORITHM.value,
)

_Q = sql.queries("metering")


async def add_refused(
    connection: asyncpg.Connection, evidence: Sequence[Evidence], at: datetime
) -> None:
    """Keep refused messages, bounded for each sender, and open the cases they ask for."""
    ordered = sorted(evidence, key=lambda row: (row.sender, row.digest, row.reason))
    await _Q.add_refused(
        connection,
        senders=[row.sender for row in ordered],
        digests=[row.digest for row in ordered],
        reasons=[row.reason.value for row in ordered],
        details=[row.detail for row in ordered],
        topics=[row.topic for row in ordered],
        payloads=[row.payload for row in ordered],
        sizes=[row.size_bytes for row in ordered],
        times=[row.times for row in ordered],
        received_at=at,
    )
    if any(row.reason.value in UNPROVEN for row in ordered):
        await _Q.open_forgery_cases(
            connection,
            senders=sorted({row.sender for row in ordered}),
            reasons=UNPROVEN,
            since=at - FORGED_WITHIN,
            times_min=FORGED_TIMES_MIN,
            at=at,
        )
    await _Q.forget_refused(
        connection,
        senders=sorted({row.sender for row in ordered}),
        rows_max=EVIDENCE_ROWS_MAX,
        strangers_rows_max=STRANGERS_ROWS_MAX,
    )
