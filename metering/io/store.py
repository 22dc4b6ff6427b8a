"""Where telegrams and readings are kept: the only module of ingest that speaks SQL."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

import sql
from metering.head import Head, looked_up
from metering.ingest import BusyError, NotStorableError
from metering.io.attest import ask_about_firmware
from metering.io.evidence import add_refused
from metering.io.floods import Floods, Spent
from metering.io.heads import Heads, read_heads, read_keys
from metering.io.marks import read_marks
from metering.meter import bucket_number
from metering.outcome import Judged, Known, Outcome
from metering.signed import Key
from metering.telegram import ADAPTED, UNSIGNED, UPLOADED, Telegram
from metering.verdict import Suspect

_TRUST: Final = {UNSIGNED: "unsigned", ADAPTED: "adapted", UPLOADED: "uploaded"}
_TELEGRAM: Final = (
    "meter_id",
    "counter",
    "digest",
    "received_at",
    "readings",
    "flags",
    "trust",
    "key_epoch",
    "evidence",
)
_READING: Final = (
    "meter_id",
    "read_at",
    "register_dm3",
    "turns",
    "verdict",
    "reason",
    "counter",
    "received_at",
    "key_epoch",
)

_Q = sql.queries("metering")


class Store:
    """Telegrams and readings in PostgreSQL, by way of a pool that works as the service's role.

    It remembers the heads of the meters it has seen. A bucket's version tells whether somebody else
    was there since; one batch is written at a time, so that what is remembered is what is stored,
    or will be if nothing fails.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._months: set[tuple[int, int]] = set()
        self._heads = Heads()
        self._floods = Floods()
        self._turn = asyncio.Lock()

    def foresee(self, meter_ids: Iterable[str], telegrams: Sequence[Telegram]) -> Known | None:
        """Return what will be known once the batches under way are stored, see ``port.Store``."""
        return self._heads.foresee(meter_ids, telegrams)

    def expect(self, foreseen: Known, outcome: Outcome) -> None:
        """Remember a decision that is still to be stored, see ``port.Store``."""
        self._heads.add(outcome.heads, foreseen.versions)

    @asynccontextmanager
    async def batch(
        self, telegrams: Sequence[Telegram], *, foreseen: bool = False
    ) -> AsyncIterator["Batch"]:
        """Open a transaction that commits when left, with room for these telegrams' months.

        Raises:
            NotStorableError: PostgreSQL refused a value or a constraint was broken.
            BusyError: a deadlock, or somebody else stored one of these meanwhile.
            asyncpg.PostgresError, asyncpg.InterfaceError, OSError: the database is away.
        """
        batch = Batch(self._heads, self._floods, foreseen=foreseen)
        try:
            async with self._turn:
                with _translated():
                    async with self._pool.acquire() as connection:
                        await self._open_months(connection, telegrams)
                        async with connection.transaction():
                            await _Q.plan_quickly(connection)
                            yield batch.over(connection)
                self._floods.spend(batch.spent)
        except BaseException:
            # What we remember is of a batch that is not stored, or may be what was wrong.
            self._heads.fail()
            raise
        finally:
            batch.close()

    async def keys(self, meter_ids: Iterable[str]) -> Mapping[str, Sequence[Key]]:
        """Return the keys of meters, to check signatures before anything is locked.

        Whether a key may still speak is asked again under the lock.
        """
        async with self._pool.acquire() as connection:
            found = await read_keys(connection, sorted(set(meter_ids)))
        return {meter_id: [key for key, _ in pairs] for meter_id, pairs in found.items()}

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
        rows = _Q.known_meters(
            connection, meter_ids=sorted({telegram.meter_id for telegram in wanted})
        )
        meters = {row["meter_id"] async for row in rows}
        missing = {
            _month(reading.read_at)
            for telegram in wanted
            if telegram.meter_id in meters
            for reading in telegram.readings
        } - self._months
        for year, month in sorted(missing):
            await _Q.open_month(connection, instant=datetime(year, month, 1, tzinfo=UTC))
            self._months.add((year, month))


async def lock_buckets(connection: asyncpg.Connection, buckets: Iterable[int]) -> dict[int, int]:
    """Keep others from judging or moving meters of these buckets until the transaction ends.

    Returns the new version of each bucket; whoever remembers an older one reads again.
    """
    rows = _Q.lock_buckets(connection, buckets=sorted(buckets))
    return {row["bucket"]: row["version"] async for row in rows}


class Batch:
    """One open transaction; everything in it is committed together or not at all."""

    def __init__(self, heads: Heads, floods: Floods, *, foreseen: bool) -> None:
        self.spent: Spent | None = None
        self._heads = heads
        self._floods = floods
        self._versions: dict[int, int] = {}
        self._foreseen = foreseen
        if not foreseen:
            heads.blind += 1

    def over(self, connection: asyncpg.Connection) -> "Batch":
        """Work on this connection, in a transaction of its own."""
        self._connection = connection
        return self

    def close(self) -> None:
        """Let the next batches be foreseen again, however this one ended."""
        if not self._foreseen:
            self._foreseen = True
            self._heads.blind -= 1

    async def holds(self, foreseen: Known) -> bool:
        """Lock the buckets, and say whether they are as foreseen; if not, forget everything."""
        self._versions = await lock_buckets(self._connection, foreseen.versions)
        if foreseen.era == self._heads.era and self._versions == foreseen.versions:
            return True
        if foreseen.era == self._heads.era:
            self._heads.fail()
        self._foreseen = False
        self._heads.blind += 1
        return False

    @property
    def connection(self) -> asyncpg.Connection:
        """Where to write what must be committed together with this batch."""
        return self._connection

    async def load(self, meter_ids: Iterable[str], telegrams: Sequence[Telegram]) -> Known:
        """Lock the meters' buckets against other workers, and return what is known about them."""
        asked = set(meter_ids)
        if not self._versions:
            self._versions = await lock_buckets(
                self._connection, {bucket_number(meter_id) for meter_id in asked}
            )
        self._heads.check(self._versions)
        heads, unknown = self._heads.find(asked)
        if unknown:
            fresh = await read_heads(self._connection, unknown)
            self._heads.add(fresh, {})
            heads.update(fresh)
        details = looked_up(telegrams, heads)
        if not details:
            return Known(heads=heads)
        return await self._details(heads, details, telegrams)

    async def _details(
        self, heads: Mapping[str, Head], details: set[str], telegrams: Sequence[Telegram]
    ) -> Known:
        connection = self._connection
        asked = [telegram for telegram in telegrams if telegram.meter_id in details]
        digests = {
            (row["meter_id"], row["key_epoch"], row["counter"]): row["digest"]
            async for row in _Q.read_digests(
                connection,
                meter_ids=[telegram.meter_id for telegram in asked],
                key_epochs=[telegram.key_epoch for telegram in asked],
                counters=[telegram.counter for telegram in asked],
            )
        }
        # A counter that is known is a repeat or a conflict; its readings are not looked at.
        new = [
            telegram
            for telegram in asked
            if (telegram.meter_id, telegram.key_epoch, telegram.counter) not in digests
        ]
        places = sorted({(r.meter_id, r.read_at) for telegram in new for r in telegram.readings})
        registers = _Q.read_registers(
            connection,
            meter_ids=[meter_id for meter_id, _ in places],
            read_ats=[read_at for _, read_at in places],
        )
        return Known(
            heads=heads,
            looked_up=frozenset(details),
            digests=digests,
            registers={
                (row["meter_id"], row["read_at"]): row["register_dm3"] async for row in registers
            },
            marks=await read_marks(connection, new),
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
        await self._move_windows(outcome, at)
        await ask_about_firmware(self._connection, outcome.telegrams, outcome.heads, at=at)
        for freeze in outcome.freezes:
            await _Q.freeze_key(
                self._connection, meter_id=freeze.meter_id, key_epoch=freeze.key_epoch, at=at
            )
            await _Q.open_case(
                self._connection,
                meter_id=freeze.meter_id,
                kind="equivocation",
                detail=freeze.detail,
                evidence=freeze.evidence,
                at=at,
            )
        evidence, self.spent = await self._floods.meet(self._connection, outcome, at)
        if evidence:
            await add_refused(self._connection, evidence, at)
        if not self._foreseen:
            self._heads.add(outcome.heads, self._versions)
            self.close()

    async def _add_telegrams(self, telegrams: Sequence[Telegram], at: datetime) -> None:
        await self._connection.copy_records_to_table(
            "telegram",
            columns=_TELEGRAM,
            records=[
                (
                    telegram.meter_id,
                    telegram.counter,
                    telegram.digest,
                    at,
                    len(telegram.readings),
                    telegram.flags,
                    _TRUST.get(telegram.key_epoch, "signed"),
                    telegram.key_epoch,
                    telegram.evidence,
                )
                for telegram in telegrams
            ],
        )

    async def _add_readings(self, judged: Sequence[Judged], at: datetime) -> None:
        await self._connection.copy_records_to_table(
            "reading", columns=_READING, records=[_row(row, at) for row in judged]
        )

    async def _move_windows(self, outcome: Outcome, at: datetime) -> None:
        """Write the windows of the keys that brought something new."""
        moved = sorted(
            {
                (telegram.meter_id, telegram.key_epoch)
                for telegram in outcome.telegrams
                if telegram.key_epoch > UNSIGNED
            }
        )
        if not moved:
            return
        windows = [outcome.heads[meter_id].window(epoch) for meter_id, epoch in moved]
        await _Q.move_windows(
            self._connection,
            meter_ids=[meter_id for meter_id, _ in moved],
            key_epochs=[epoch for _, epoch in moved],
            high_waters=[window.high_water for window in windows],
            seens=[window.to_bytes() for window in windows],
            at=at,
        )


def _row(judged: Judged, at: datetime) -> tuple[Any, ...]:
    """Return a reading's columns in the order of _READING."""
    reading, verdict = judged.reading, judged.verdict
    if isinstance(verdict, Suspect):
        turns, name, reason = None, "suspect", verdict.reason.value
    else:
        turns, name, reason = verdict.turns, "billable", None
    return (
        reading.meter_id,
        reading.read_at,
        reading.register_dm3,
        turns,
        name,
        reason,
        judged.counter,
        at,
        judged.key_epoch,
    )


def _month(instant: datetime) -> tuple[int, int]:
    return instant.year, instant.month


@contextmanager
def _translated() -> Iterator[None]:
    """Say in our own words what PostgreSQL says about the batch, and pass on the rest."""
    try:
        yield
    except (asyncpg.TransactionRollbackError, asyncpg.UniqueViolationError) as error:
        raise BusyError(type(error).__name__) from error
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise NotStorableError(f"{type(error).__name__} {error.constraint_name or ''}") from error
