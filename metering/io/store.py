"""Where telegrams and readings are kept: the only module of ingest that speaks SQL."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

import sql
from metering.batch import Evidence, Judged, Known, Outcome
from metering.ingest import BusyError, NotStorableError
from metering.installation import Installation
from metering.meter import Meter, bucket_number
from metering.reading import Mark
from metering.telegram import Telegram
from metering.verdict import Billable, Suspect

# A registered meter that is refused more often than this has one fault, not a thousand.
EVIDENCE_ROWS_MAX: Final = 1_000
# Everybody we do not know shares this much room.
STRANGERS_ROWS_MAX: Final = 10_000
# Our corner of the database's advisory locks: "aq" as a number.
LOCK_SPACE: Final = 0x6171

_Q = sql.queries("metering")


class Store:
    """Telegrams and readings in PostgreSQL, by way of a pool that works as the service's role."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._months: set[tuple[int, int]] = set()

    @asynccontextmanager
    async def batch(self, telegrams: Sequence[Telegram]) -> AsyncIterator["Batch"]:
        """Open a transaction that commits when left, with room for these telegrams' months.

        Raises:
            NotStorableError: PostgreSQL refused a value or a constraint was broken.
            BusyError: a deadlock, or somebody else stored one of these meanwhile.
            asyncpg.PostgresError, asyncpg.InterfaceError, OSError: the database is away.
        """
        with _translated():
            async with self._pool.acquire() as connection:
                await self._open_months(connection, telegrams)
                async with connection.transaction():
                    await _Q.plan_quickly(connection)
                    yield Batch(connection)

    def forget_months(self) -> None:
        """Ask the database again, from the next batch on, which months it has room for."""
        self._months.clear()

    async def _open_months(
        self, connection: asyncpg.Connection, telegrams: Sequence[Telegram]
    ) -> None:
        """Open the months these readings need, in transactions of their own.

        Inside the batch's transaction it would wait for itself. Only registered meters open months:
        strangers must not be able to make tables.
        """
        wanted = [
            telegram
            for telegram in telegrams
            if any(_month(reading.read_at) not in self._months for reading in telegram.readings)
        ]
        if not wanted:
            return
        meters = await _meters(connection, {telegram.meter_id for telegram in wanted})
        missing = {
            _month(reading.read_at)
            for telegram in wanted
            if telegram.meter_id in meters
            for reading in telegram.readings
        } - self._months
        for year, month in sorted(missing):
            await _Q.open_month(connection, instant=datetime(year, month, 1, tzinfo=UTC))
            self._months.add((year, month))


async def lock_buckets(connection: asyncpg.Connection, buckets: Sequence[int]) -> None:
    """Keep others from judging or moving meters of these buckets until the transaction ends."""
    await _Q.lock_buckets(connection, space=LOCK_SPACE, buckets=sorted(buckets))


class Batch:
    """One open transaction; everything in it is committed together or not at all."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def load(self, meter_ids: Iterable[str], telegrams: Sequence[Telegram]) -> Known:
        """Lock the meters' buckets against other workers, and return what is known about them."""
        connection = self._connection
        asked = sorted(meter_ids)
        buckets = list({bucket_number(meter_id) for meter_id in asked})
        await lock_buckets(connection, buckets)
        installations: dict[str, list[Installation]] = {}
        async for row in _Q.read_installations(connection, meter_ids=asked):
            installations.setdefault(row["meter_id"], []).append(Installation(**row))
        digests = _Q.read_digests(
            connection,
            meter_ids=[telegram.meter_id for telegram in telegrams],
            counters=[telegram.counter for telegram in telegrams],
        )
        places = sorted(
            {(r.meter_id, r.read_at) for telegram in telegrams for r in telegram.readings}
        )
        named: dict[str, Any] = {
            "meter_ids": [meter_id for meter_id, _ in places],
            "read_ats": [read_at for _, read_at in places],
        }
        registers = _Q.read_registers(connection, **named)
        return Known(
            meters=await _meters(connection, asked),
            installations=installations,
            digests={(row["meter_id"], row["counter"]): row["digest"] async for row in digests},
            registers={
                (row["meter_id"], row["read_at"]): row["register_dm3"] async for row in registers
            },
            marks=await self._marks(named),
        )

    async def keep(self, outcome: Outcome, *, at: datetime) -> None:
        """Write telegrams, readings and refused messages.

        Rows go in by ascending key, so that two workers wait for each other and never deadlock.

        Raises:
            BusyError: a row was there already, so somebody else decided on it before us.
        """
        if outcome.telegrams:
            await self._add_telegrams(outcome.telegrams, at)
        if outcome.readings:
            await self._add_readings(outcome.readings, at)
        if outcome.evidence:
            await self._add_refused(list(outcome.evidence.values()), at)

    async def _marks(self, named: dict[str, Any]) -> dict[tuple[str, datetime], list[Mark]]:
        marks: dict[tuple[str, datetime], list[Mark]] = {}
        async for row in _Q.read_marks(self._connection, **named):
            marks.setdefault((row["meter_id"], row["installed_at"]), []).append(
                Mark(read_at=row["read_at"], register_dm3=row["register_dm3"], turns=row["turns"])
            )
        return marks

    async def _add_telegrams(self, telegrams: Sequence[Telegram], at: datetime) -> None:
        ordered = sorted(telegrams, key=lambda telegram: (telegram.meter_id, telegram.counter))
        status = await _Q.add_telegrams(
            self._connection,
            meter_ids=[telegram.meter_id for telegram in ordered],
            counters=[telegram.counter for telegram in ordered],
            digests=[telegram.digest for telegram in ordered],
            readings=[len(telegram.readings) for telegram in ordered],
            flags=[",".join(telegram.flags) for telegram in ordered],
            received_at=at,
        )
        _all_written(status, len(ordered))

    async def _add_readings(self, judged: Sequence[Judged], at: datetime) -> None:
        ordered = sorted(judged, key=lambda row: (row.reading.meter_id, row.reading.read_at))
        verdicts = [_columns(row.verdict) for row in ordered]
        status = await _Q.add_readings(
            self._connection,
            meter_ids=[row.reading.meter_id for row in ordered],
            read_ats=[row.reading.read_at for row in ordered],
            registers=[row.reading.register_dm3 for row in ordered],
            turns=[turns for turns, _, _ in verdicts],
            verdicts=[verdict for _, verdict, _ in verdicts],
            reasons=[reason for _, _, reason in verdicts],
            counters=[row.counter for row in ordered],
            received_at=at,
        )
        _all_written(status, len(ordered))

    async def _add_refused(self, evidence: Sequence[Evidence], at: datetime) -> None:
        ordered = sorted(evidence, key=lambda row: (row.sender, row.digest, row.reason))
        await _Q.add_refused(
            self._connection,
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
        await _Q.forget_refused(
            self._connection,
            senders=sorted({row.sender for row in ordered}),
            rows_max=EVIDENCE_ROWS_MAX,
            strangers_rows_max=STRANGERS_ROWS_MAX,
        )


async def _meters(connection: asyncpg.Connection, meter_ids: Iterable[str]) -> dict[str, Meter]:
    rows = _Q.read_meters(connection, meter_ids=sorted(meter_ids))
    return {row["meter_id"]: Meter(**row) async for row in rows}


def _columns(verdict: Billable | Suspect) -> tuple[int | None, str, str | None]:
    """Return turns, verdict and reason as the table wants them."""
    if isinstance(verdict, Billable):
        return verdict.turns, "billable", None
    return None, "suspect", verdict.reason.value


def _month(instant: datetime) -> tuple[int, int]:
    return instant.year, instant.month


def _all_written(status: str, expected: int) -> None:
    if status != f"INSERT 0 {expected}":
        raise BusyError(f"{status}, expected {expected} rows")


@contextmanager
def _translated() -> Iterator[None]:
    """Say in our own words what PostgreSQL says about the batch, and pass on the rest."""
    try:
        yield
    except asyncpg.TransactionRollbackError as error:
        raise BusyError(type(error).__name__) from error
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise NotStorableError(f"{type(error).__name__} {error.constraint_name or ''}") from error
