"""Moving out and in, in PostgreSQL: the stays of an account end, and the next account's begin."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

import asyncpg
import structlog

import sql
from billing.io.rows import closing_of
from billing.io.vouchers import locked
from billing.move import Closing, ClosingRegister
from billing.period import Calendar
from metering.installation import Installation
from metering.io.api import AccountClosedError, SupplyPointUnknownError
from metering.io.registry import NotInstalledError, hang_up, stays, take_down
from metering.io.store import lock_buckets
from metering.meter import bucket_number

_Q: Final = sql.queries("moves")
_ACCOUNTS: Final = sql.queries("accounts")

log: Final = structlog.get_logger()


class MoveDayError(Exception):
    """The day is not over yet, lies in the future, or before something that is known."""


class NoRegisterError(Exception):
    """Nobody read a meter on the last day, and nobody said what it showed."""


class NotAtAccountError(Exception):
    """A register was entered for a meter that does not hang at the account."""


class ClosingDiffersError(Exception):
    """The account ended already, on another day or with other registers."""


class StillOccupiedError(Exception):
    """The meter still hangs at an account that has not moved out."""


class GasUnclaimedError(Exception):
    """Gas went through the meter since the last account ended, and is nobody's."""


class DialTurnedError(Exception):
    """The dial began anew before the move, and later readings count from another line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveOut:
    """Who moves out: the last local day of supply, and registers in dm3 that a person says."""

    account_id: str
    last_day: date
    registers_dm3: Mapping[str, int]
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveIn:
    """Who moves in: the meter that goes on, and the first local day of supply.

    ``register_dm3`` is what the meter shows on that day, where somebody looked.
    """

    account_id: str
    supply_point_id: str
    meter_id: str
    from_day: date
    register_dm3: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """The moves of a town; works with the service's rights."""

    pool: asyncpg.Pool
    calendar: Calendar

    async def closing(self, account_id: str) -> Closing | None:
        """Return how an account ended; None while it goes on."""
        async with self.pool.acquire() as conn:
            return await _closing(conn, account_id)

    async def move_out(
        self, wanted: MoveOut, *, said_by: str, at: datetime
    ) -> tuple[Closing, bool]:
        """End every stay at an account and the account itself; False when exactly this was done.

        Raises:
            AccountUnknownError: no account has this id.
            ClosingDiffersError: it ended otherwise.
            MoveDayError: the last day is not over.
            NotAtAccountError: a register belongs to no meter that hangs there.
            NoRegisterError: a meter was not read on the last day, and nobody said its register.
            RemovalOutOfOrderError: a meter was hung up after that day.
            RemovalDiffersError: a meter came down after that day.
            AlreadyMeasuredError: gas after that day stands on a bill.
            ClosingImplausibleError: a register does not fit the readings beside it.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            meter_ids = await _Q.account_meters(conn, account_id=wanted.account_id)
            await lock_buckets(conn, sorted({bucket_number(one) for one in meter_ids}))
            await locked(conn, wanted.account_id)
            known = await _closing(conn, wanted.account_id)
            if known is not None:
                if _alike(known, wanted):
                    return known, False
                raise ClosingDiffersError(f"the account ended on {known.last_day}")
            ends_at = self.calendar.midnight(self.calendar.next_day(wanted.last_day))
            if ends_at > at:
                raise MoveDayError(f"the last day is over at {ends_at.isoformat()}")
            open_stays = await _open_stays(conn, wanted.account_id, ends_at)
            registers = await self._registers(conn, wanted, open_stays)
            for one in registers:
                await take_down(
                    conn,
                    one.meter_id,
                    removed_at=ends_at,
                    closing_dm3=one.register_dm3,
                    at=at,
                )
            await _Q.add_closing(
                conn,
                account_id=wanted.account_id,
                last_day=wanted.last_day,
                registers=_as_json(registers),
                because=wanted.because,
                closed_by=said_by,
                closed_at=at,
            )
            made = await _closing(conn, wanted.account_id)
        assert made is not None, "it was written just now"
        log.info("account.closed", account_id=wanted.account_id, last_day=f"{wanted.last_day}")
        return made, True

    async def _registers(
        self, conn: asyncpg.Connection, wanted: MoveOut, open_stays: list[Installation]
    ) -> tuple[ClosingRegister, ...]:
        """Return with which register each stay ends: what a person says, else what was read."""
        strangers = wanted.registers_dm3.keys() - {one.meter_id for one in open_stays}
        if strangers:
            raise NotAtAccountError(f"{min(strangers)} does not hang at the account")
        found: list[ClosingRegister] = []
        begins_at = self.calendar.midnight(wanted.last_day)
        ends_at = self.calendar.midnight(self.calendar.next_day(wanted.last_day))
        for stay in open_stays:
            said_dm3 = wanted.registers_dm3.get(stay.meter_id)
            if said_dm3 is not None:
                found.append(
                    ClosingRegister(meter_id=stay.meter_id, register_dm3=said_dm3, read_at=None)
                )
                continue
            row = await _Q.register_of_day(
                conn,
                meter_id=stay.meter_id,
                from_at=max(begins_at, stay.installed_at),
                to_at=ends_at,
            )
            if row is None:
                raise NoRegisterError(f"{stay.meter_id} was not read on {wanted.last_day}")
            found.append(ClosingRegister(meter_id=stay.meter_id, **dict(row)))
        return tuple(found)

    async def move_in(self, wanted: MoveIn, *, at: datetime) -> tuple[Installation, bool]:
        """Let a meter go on for another account, from the register with which the last one ended.

        False when exactly this was done before.

        Raises:
            AccountUnknownError: no account has this id.
            AccountClosedError: the account has ended.
            SupplyPointUnknownError: the account has no such supply point.
            NotInstalledError: no such meter ever hung anywhere; a new one is installed.
            StillOccupiedError: it hangs at an account that has not moved out.
            MoveDayError: the first day lies in the future, or before the last account's end.
            GasUnclaimedError: it shows another register than the one with which that ended.
            DialTurnedError: readings after the move count turns of the dial from before it.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await lock_buckets(conn, [bucket_number(wanted.meter_id)])
            await locked(conn, wanted.account_id)
            if await _closing(conn, wanted.account_id) is not None:
                raise AccountClosedError("the account has ended")
            if not await _ACCOUNTS.has_supply_point(
                conn, account_id=wanted.account_id, supply_point_id=wanted.supply_point_id
            ):
                raise SupplyPointUnknownError("the account has no such supply point")
            stay, fresh = await self._next_stay(conn, wanted, at)
            if fresh:
                await hang_up(conn, stay)
        if fresh:
            log.info("meter.goes_on", meter_id=stay.meter_id, account_id=stay.account_id)
        return stay, fresh

    async def _next_stay(
        self, conn: asyncpg.Connection, wanted: MoveIn, at: datetime
    ) -> tuple[Installation, bool]:
        known = await stays(conn, wanted.meter_id)
        if not known:
            raise NotInstalledError("the meter never hung anywhere")
        begins_at = self.calendar.midnight(wanted.from_day)
        last = known[-1]
        if (last.account_id, last.supply_point_id, last.installed_at) == (
            wanted.account_id,
            wanted.supply_point_id,
            begins_at,
        ):
            return last, False
        if last.removed_at is None or last.closing_dm3 is None:
            raise StillOccupiedError("the meter hangs at an account that has not moved out")
        if not last.removed_at <= begins_at <= at:
            raise MoveDayError(f"the last account ended at {last.removed_at.isoformat()}")
        if wanted.register_dm3 not in {None, last.closing_dm3}:
            raise GasUnclaimedError(f"the last account ended with {last.closing_dm3} dm3")
        if last.closing_turns and await _Q.has_reading_after(
            conn, meter_id=wanted.meter_id, instant=last.removed_at
        ):
            raise DialTurnedError("the dial began anew before the move")
        return (
            replace(
                last,
                account_id=wanted.account_id,
                supply_point_id=wanted.supply_point_id,
                installed_at=begins_at,
                opening_dm3=last.closing_dm3,
                removed_at=None,
                closing_dm3=None,
                closing_turns=None,
            ),
            True,
        )


async def _closing(conn: asyncpg.Connection, account_id: str) -> Closing | None:
    row = await _Q.find_closing(conn, account_id=account_id)
    return None if row is None else closing_of(dict(row))


async def _open_stays(
    conn: asyncpg.Connection, account_id: str, ends_at: datetime
) -> list[Installation]:
    """Return the stays that go on; one that ended later than the account is a contradiction."""
    found = [
        Installation(**dict(row)) async for row in _Q.account_stays(conn, account_id=account_id)
    ]
    for stay in found:
        if stay.removed_at is not None and stay.removed_at > ends_at:
            raise MoveDayError(f"{stay.meter_id} came down at {stay.removed_at.isoformat()}")
    return [stay for stay in found if stay.removed_at is None]


def _alike(known: Closing, wanted: MoveOut) -> bool:
    said = {one.meter_id: one.register_dm3 for one in known.registers if one.read_at is None}
    return (known.last_day, known.because, said) == (
        wanted.last_day,
        wanted.because,
        dict(wanted.registers_dm3),
    )


def _as_json(registers: tuple[ClosingRegister, ...]) -> str:
    return json.dumps(
        [
            {
                "meter_id": one.meter_id,
                "register_dm3": one.register_dm3,
                "read_at": None if one.read_at is None else one.read_at.isoformat(),
            }
            for one in registers
        ]
    )
