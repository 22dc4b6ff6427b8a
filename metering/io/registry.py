"""The registry: meters, where they hang, and what they said, for people who ask over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import structlog

import sql
from metering.installation import Installation
from metering.io.heads import read_policies
from metering.io.store import lock_buckets
from metering.meter import Meter, bucket_number
from metering.policy import meter_type_of
from metering.reading import Mark, Reading
from metering.verdict import Suspect, judge

_Q: Final = sql.queries("registry")

# Outside of these no reading can be stored.
FIRST_INSTANT: Final = datetime(1999, 12, 31, tzinfo=UTC)
LAST_INSTANT: Final = datetime(2100, 1, 1, tzinfo=UTC)

log: Final = structlog.get_logger()


class MeterUnknownError(Exception):
    """No meter has this id."""


class MeterDiffersError(Exception):
    """The id belongs to a meter that was described differently."""


class InstallationOverlapsError(Exception):
    """The meter hangs somewhere at that time already."""


class InstallationDiffersError(Exception):
    """The meter was hung up at that very instant, but described differently."""


class OpeningBeyondDialError(Exception):
    """The dial of the meter cannot show this opening register."""


class NotInstalledError(Exception):
    """The meter hangs nowhere, so nobody can take it down."""


class RemovalDiffersError(Exception):
    """The meter was taken down already, at another instant or with another register."""


class RemovalOutOfOrderError(Exception):
    """A meter comes down after it was hung up, and not in the future."""


class AlreadyMeasuredError(Exception):
    """Gas was measured for a bill beyond that instant; the books would contradict the removal."""


class ClosingImplausibleError(Exception):
    """The closing register does not fit the readings beside it; the text says the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedReading:
    """A reading as it was stored: what the meter said, and how far we believe it."""

    read_at: datetime
    register_dm3: int
    turns: int | None
    verdict: str
    reason: str | None
    counter: int
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterAtAccount:
    """One stay of a meter at an account; ``dial_dm3`` is where its register begins anew."""

    installation: Installation
    dial_dm3: int
    compensated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedTelegram:
    """A telegram that was not taken, with at most the first 4096 bytes of what came."""

    sender: str
    digest: bytes
    reason: str
    detail: str
    topic: str
    payload: bytes
    size_bytes: int
    times: int
    first_received_at: datetime
    last_received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedMark:
    """A place in the list of refused telegrams: everything the list is ordered by."""

    last_received_at: datetime
    sender: str
    digest: bytes
    reason: str


FIRST_REFUSED: Final = RefusedMark(last_received_at=LAST_INSTANT, sender="", digest=b"", reason="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """The meters of a town in PostgreSQL; works with the service's rights."""

    pool: asyncpg.Pool

    async def register(self, meter: Meter, *, at: datetime) -> bool:
        """Register a meter; False when exactly this one was there before.

        Raises:
            MeterDiffersError: the id is taken by a meter with other figures.
        """
        async with self.pool.acquire() as conn:
            added = await _Q.add_meter(
                conn,
                meter_id=meter.meter_id,
                dial_dm3=meter.dial_dm3,
                step_dm3=meter.step_dm3,
                qmax_dm3_h=meter.qmax_dm3_h,
                compensated=meter.compensated,
                registered_at=at,
            )
            if added is None and await _meter(conn, meter.meter_id) != meter:
                raise MeterDiffersError("a meter with this id has other figures")
        if added is not None:
            log.info("meter.registered", meter_id=meter.meter_id)
        return added is not None

    async def meter(self, meter_id: str) -> tuple[Meter, list[Installation]]:
        """Return a meter and where it has hung, oldest first.

        Raises:
            MeterUnknownError: no meter has this id.
        """
        async with self.pool.acquire() as conn:
            meter = await _meter(conn, meter_id)
            return meter, await stays(conn, meter_id)

    async def meters(self, *, after: str, page: int) -> list[Meter]:
        """Return a page of meters in the order of their ids."""
        async with self.pool.acquire() as conn:
            rows = _Q.list_meters(conn, after=after, page=page)
            return [Meter(**row) async for row in rows]

    async def install(self, wanted: Installation) -> bool:
        """Hang a meter up; False when exactly this was done before.

        Raises:
            MeterUnknownError: no meter has this id.
            OpeningBeyondDialError: the dial cannot show the opening register.
            InstallationOverlapsError: the meter hangs somewhere at that time.
            InstallationDiffersError: the same instant, but another place or register.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await lock_buckets(conn, [bucket_number(wanted.meter_id)])
            meter = await _meter(conn, wanted.meter_id)
            if wanted.opening_dm3 >= meter.dial_dm3:
                raise OpeningBeyondDialError(f"the dial ends before {meter.dial_dm3} dm3")
            for known in await stays(conn, wanted.meter_id):
                if known.installed_at == wanted.installed_at:
                    if _opened_alike(known, wanted):
                        return False
                    raise InstallationDiffersError("the meter was hung up then, differently")
            await hang_up(conn, wanted)
        log.info("meter.installed", meter_id=wanted.meter_id, account_id=wanted.account_id)
        return True

    async def remove(
        self, meter_id: str, *, removed_at: datetime, closing_dm3: int, at: datetime
    ) -> tuple[Installation, bool]:
        """Take a meter down and close its line; the flag says whether this was new.

        The closing register is judged like a reading, by the town's rules of its day, which also
        tells how often the dial turned.

        Raises:
            MeterUnknownError: no meter has this id.
            NotInstalledError: it never hung anywhere.
            RemovalDiffersError: it hangs nowhere any more and came down otherwise.
            RemovalOutOfOrderError: the instant lies before the installation or in the future.
            AlreadyMeasuredError: a bill has measured gas beyond the instant.
            ClosingImplausibleError: the register does not fit the readings beside it.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await lock_buckets(conn, [bucket_number(meter_id)])
            closed, fresh = await take_down(
                conn, meter_id, removed_at=removed_at, closing_dm3=closing_dm3, at=at
            )
        if fresh:
            log.info("meter.removed", meter_id=meter_id, account_id=closed.account_id)
        return closed, fresh

    async def readings(
        self, meter_id: str, *, after: datetime | None, until: datetime | None, page: int
    ) -> list[JudgedReading]:
        """Return a page of a meter's readings, oldest first.

        Raises:
            MeterUnknownError: no meter has this id.
        """
        async with self.pool.acquire() as conn:
            await _meter(conn, meter_id)
            rows = _Q.list_readings(
                conn,
                meter_id=meter_id,
                after=after or FIRST_INSTANT,
                until=until or LAST_INSTANT,
                page=page,
            )
            return [JudgedReading(**row) async for row in rows]

    async def account_meters(self, account_id: str) -> list[MeterAtAccount]:
        """Return the meters that hang or hung at an account, oldest first."""
        async with self.pool.acquire() as conn:
            rows = _Q.list_account_installations(conn, account_id=account_id)
            return [_at_account(row) async for row in rows]

    async def account_readings(
        self,
        account_id: str,
        meter_id: str,
        *,
        after: datetime | None,
        until: datetime | None,
        page: int,
    ) -> list[JudgedReading]:
        """Return a page of what a meter said while it hung at this account, oldest first.

        Raises:
            MeterUnknownError: the meter never hung there, or does not exist.
        """
        if all(
            stay.installation.meter_id != meter_id for stay in await self.account_meters(account_id)
        ):
            raise MeterUnknownError
        async with self.pool.acquire() as conn:
            rows = _Q.list_account_readings(
                conn,
                account_id=account_id,
                meter_id=meter_id,
                after=after or FIRST_INSTANT,
                until=until or LAST_INSTANT,
                page=page,
            )
            return [JudgedReading(**row) async for row in rows]

    async def refused(self, *, before: RefusedMark, page: int) -> list[RefusedTelegram]:
        """Return a page of refused telegrams, the latest first."""
        async with self.pool.acquire() as conn:
            rows = _Q.list_refused(
                conn,
                before_at=before.last_received_at,
                before_sender=before.sender,
                before_digest=before.digest,
                before_reason=before.reason,
                page=page,
            )
            return [RefusedTelegram(**row) async for row in rows]


async def take_down(
    conn: asyncpg.Connection,
    meter_id: str,
    *,
    removed_at: datetime,
    closing_dm3: int,
    at: datetime,
) -> tuple[Installation, bool]:
    """Close the line of a meter whose bucket is locked; raises what ``Registry.remove`` does."""
    meter = await _meter(conn, meter_id)
    known = await stays(conn, meter_id)
    if not known:
        raise NotInstalledError("the meter hangs nowhere")
    last = known[-1]
    if last.removed_at is not None:
        if (last.removed_at, last.closing_dm3) == (removed_at, closing_dm3):
            return last, False
        raise RemovalDiffersError("the meter came down already, differently")
    if not last.installed_at < removed_at <= at:
        raise RemovalOutOfOrderError("a meter comes down after it was hung up, not later")
    measured = await _Q.measured_until(conn, meter_id=meter_id, installed_at=last.installed_at)
    if measured is not None and measured > removed_at:
        raise AlreadyMeasuredError("gas beyond that instant stands on a bill")
    closing = Reading(meter_id=meter_id, read_at=removed_at, register_dm3=closing_dm3)
    turns = await _closing_turns(conn, meter, last, closing)
    await _Q.close_installation(
        conn,
        meter_id=meter_id,
        installed_at=last.installed_at,
        removed_at=removed_at,
        closing_dm3=closing_dm3,
        closing_turns=turns,
    )
    return (await stays(conn, meter_id))[-1], True


async def hang_up(conn: asyncpg.Connection, wanted: Installation) -> None:
    """Let a meter whose bucket is locked hang somewhere.

    Raises:
        InstallationOverlapsError: it hangs somewhere at that time.
    """
    try:
        await _Q.add_installation(
            conn,
            meter_id=wanted.meter_id,
            installed_at=wanted.installed_at,
            account_id=wanted.account_id,
            supply_point_id=wanted.supply_point_id,
            opening_dm3=wanted.opening_dm3,
        )
    except asyncpg.ExclusionViolationError:
        raise InstallationOverlapsError("the meter hangs somewhere then") from None


async def _meter(conn: asyncpg.Connection, meter_id: str) -> Meter:
    row = await _Q.find_meter(conn, meter_id=meter_id)
    if row is None:
        raise MeterUnknownError
    return Meter(**row)


async def stays(conn: asyncpg.Connection, meter_id: str) -> list[Installation]:
    """Return where a meter has hung, oldest first."""
    rows = _Q.list_installations(conn, meter_id=meter_id)
    return [Installation(**row) async for row in rows]


def _opened_alike(known: Installation, wanted: Installation) -> bool:
    return (known.account_id, known.supply_point_id, known.opening_dm3) == (
        wanted.account_id,
        wanted.supply_point_id,
        wanted.opening_dm3,
    )


async def _closing_turns(
    conn: asyncpg.Connection, meter: Meter, installation: Installation, closing: Reading
) -> int:
    before = await _Q.mark_before(
        conn,
        meter_id=meter.meter_id,
        installed_at=installation.installed_at,
        instant=closing.read_at,
    )
    after = await _Q.mark_after(conn, meter_id=meter.meter_id, instant=closing.read_at)
    kind = meter_type_of(await _Q.find_meter_type(conn, meter_id=meter.meter_id))
    policies = (await read_policies(conn))[kind]
    verdict = judge(
        closing,
        meter=meter,
        before=installation.opening if before is None else Mark(**before),
        after=None if after is None else Mark(**after),
        policy=policies.at(closing.read_at),
    )
    if isinstance(verdict, Suspect):
        raise ClosingImplausibleError(verdict.reason.value)
    return verdict.turns


def _at_account(row: Mapping[str, Any]) -> MeterAtAccount:
    values = dict(row)
    dial_dm3 = int(values.pop("dial_dm3"))
    compensated = bool(values.pop("compensated"))
    return MeterAtAccount(
        installation=Installation(**values), dial_dm3=dial_dm3, compensated=compensated
    )
