"""The operator's desk: what meters need a person, and what the person decided."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog

import sql
from metering.device import StateError
from metering.io import custody
from metering.io.gaps import Gaps
from metering.io.registry import MeterUnknownError, NotInstalledError
from metering.io.store import lock_buckets
from metering.line import least_turns
from metering.meter import bucket_number
from metering.reading import Mark

_Q: Final = sql.queries("desk")

# What a meter says when its battery ends, and how many meters one page with gaps may look at: a
# town of ten thousand is gone through in ten pages.
BATTERY_LOW: Final = "battery_low"
GAPS_LOOKED_AT: Final = 1000

log: Final = structlog.get_logger()


class ReadingUnknownError(Exception):
    """The meter said nothing at that instant."""


class NotHeldError(Exception):
    """The reading is believed already."""


class DecisionDiffersError(Exception):
    """Somebody decided otherwise on this reading."""


class BreaksTheLineError(Exception):
    """With this register the gas of the installation would flow back."""


class CaseUnknownError(Exception):
    """The meter has no such case."""


class CaseClosedError(Exception):
    """The case was closed with another outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSurveyed:
    """A meter, when it last spoke and what of it waits for a person.

    ``flags`` are those of its newest telegram, ``battery_low`` one of them: no wire of ours carries
    more of a battery. ``missing_days`` counts among the recent days.
    """

    meter_id: str
    state: str
    last_contact_at: datetime | None
    flags: list[str] | None
    battery_low: bool | None
    missing_days: int
    last_read_at: datetime | None
    last_register_dm3: int | None
    held_readings: int
    open_cases: int
    held_findings: int
    flagged_findings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldReading:
    """A suspect reading that nobody decided on, between the trusted marks beside it."""

    meter_id: str
    read_at: datetime
    register_dm3: int
    reason: str
    received_at: datetime
    before: Mark | None
    after: Mark | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A person's word on a suspect reading; ``decided_by`` is the label of the token."""

    meter_id: str
    read_at: datetime
    decision: str
    register_dm3: int
    turns: int
    decided_by: str
    because: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question about a meter, and its answer once it is closed."""

    meter_id: str
    case_id: UUID
    kind: str
    detail: str
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The operator's desk in PostgreSQL; works with the service's rights."""

    pool: asyncpg.Pool
    gaps: Gaps

    async def survey(
        self, *, after: str, page: int, gaps_only: bool, at: datetime
    ) -> tuple[list[MeterSurveyed], str | None]:
        """Return a page of meters in the order of their ids, and where the next one begins.

        ``gaps_only`` leaves out those without missing days. So many meters are looked at for a page
        and no more: it may be short, or empty, and the next one still has some.
        """
        looked_at = GAPS_LOOKED_AT if gaps_only else page
        async with self.pool.acquire() as conn:
            ids = [
                row["meter_id"]
                async for row in _Q.list_meter_ids(conn, after=after, page=looked_at)
            ]
            missing = await self.gaps.missing(conn, ids, at=at)
            shown = [meter_id for meter_id in ids if missing[meter_id] or not gaps_only][:page]
            rows = _Q.survey_meters(conn, meter_ids=shown)
            found = [_surveyed(row, missing[row["meter_id"]]) async for row in rows]
        if len(shown) == page:
            return found, shown[-1]
        return found, ids[-1] if len(ids) == looked_at else None

    async def held(self, *, before: datetime, before_meter: str, page: int) -> list[HeldReading]:
        """Return a page of suspect readings without a decision, the newest first."""
        async with self.pool.acquire() as conn:
            found = _Q.list_held(conn, before=before, before_meter=before_meter, page=page)
            return [_held(row) async for row in found]

    async def decide(  # noqa: PLR0913 - what is decided, on what, by whom and when
        self,
        meter_id: str,
        read_at: datetime,
        *,
        register_dm3: int | None,
        because: str,
        decided_by: str,
        at: datetime,
    ) -> tuple[Decision, bool]:
        """Accept a held reading, or replace its register; False when that was decided before.

        ``register_dm3`` is the register to use instead; None accepts the reading as it came.

        Raises:
            ReadingUnknownError: the meter said nothing then.
            NotHeldError: the reading is billable.
            DecisionDiffersError: the reading was decided on otherwise.
            NotInstalledError: the meter hung nowhere then.
            BreaksTheLineError: no number of turns fits the register between its neighbours.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await lock_buckets(conn, [bucket_number(meter_id)])
            row = await _Q.find_judged(conn, meter_id=meter_id, read_at=read_at)
            if row is None:
                raise ReadingUnknownError
            if row["verdict"] != "suspect":
                raise NotHeldError("the reading is billable")
            name = "accept" if register_dm3 is None else "replace"
            wanted = row["register_dm3"] if register_dm3 is None else register_dm3
            known = await _Q.find_decision(conn, meter_id=meter_id, read_at=read_at)
            if known is not None:
                if (known["decision"], known["register_dm3"]) == (name, wanted):
                    return Decision(**known), False
                raise DecisionDiffersError("the reading was decided on, differently")
            turns = await fitting_turns(conn, meter_id, read_at, row, wanted)
            made = Decision(
                meter_id=meter_id,
                read_at=read_at,
                decision=name,
                register_dm3=wanted,
                turns=turns,
                decided_by=decided_by,
                because=because,
                decided_at=at,
            )
            await _Q.decide(
                conn,
                meter_id=meter_id,
                read_at=read_at,
                decision=name,
                register_dm3=wanted,
                turns=turns,
                decided_by=decided_by,
                because=because,
                decided_at=at,
            )
        log.info("reading.decided", meter_id=meter_id, decision=name)
        return made, True

    async def cases(
        self, *, closed: bool, before: datetime, before_case: UUID, page: int
    ) -> list[Case]:
        """Return a page of open or of closed cases, the newest first."""
        async with self.pool.acquire() as conn:
            rows = _Q.list_cases(
                conn, closed=closed, before=before, before_case=before_case, page=page
            )
            return [Case(**row) async for row in rows]

    async def close(
        self, meter_id: str, case_id: UUID, *, outcome: str, closed_by: str, at: datetime
    ) -> tuple[Case, bool]:
        """Close a case; False when it was closed with this outcome before.

        With the last case that stopped a meter, it and its keys may speak again.

        Raises:
            CaseUnknownError: the meter has no such case.
            CaseClosedError: it was closed with another outcome.
        """
        thawed = await self._thaw(meter_id, case_id, outcome=outcome, closed_by=closed_by, at=at)
        async with self.pool.acquire() as conn, conn.transaction():
            fresh = await _Q.close_case(
                conn,
                meter_id=meter_id,
                case_id=case_id,
                closed_at=at,
                closed_by=closed_by,
                outcome=outcome,
            )
            row = await _Q.find_case(conn, meter_id=meter_id, case_id=case_id)
        if row is None:
            raise CaseUnknownError
        if row["outcome"] != outcome:
            raise CaseClosedError("the case was closed, differently")
        return Case(**row), thawed or fresh is not None

    async def _thaw(
        self, meter_id: str, case_id: UUID, *, outcome: str, closed_by: str, at: datetime
    ) -> bool:
        """Close a case that stops a meter, if it is one."""
        try:
            await custody.Custody(pool=self.pool).unfreeze(
                meter_id, case_id, closed_by=closed_by, outcome=outcome, at=at
            )
        except (custody.CaseUnknownError, MeterUnknownError, StateError):
            # An ordinary case, or a meter that will never speak again: closed like any other.
            return False
        return True


async def fitting_turns(
    conn: asyncpg.Connection,
    meter_id: str,
    read_at: datetime,
    row: Mapping[str, Any],
    register_dm3: int,
) -> int:
    """Return the fewest turns with which a register fits between those around it.

    Raises:
        NotInstalledError: the meter hung nowhere then.
        BreaksTheLineError: there are none.
    """
    if row["installed_at"] is None:
        raise NotInstalledError("the meter hung nowhere then")
    before, after = _ends(row)
    neighbours = _Q.neighbours(
        conn,
        meter_id=meter_id,
        installed_at=row["installed_at"],
        removed_at=row["removed_at"],
        read_at=read_at,
    )
    async for mark in neighbours:
        if mark["read_at"] < read_at:
            before = Mark(**mark)
        else:
            after = Mark(**mark)
    turns = least_turns(register_dm3, dial_dm3=row["dial_dm3"], before=before, after=after)
    if turns is None:
        raise BreaksTheLineError("no number of turns fits this register between its neighbours")
    return turns


def _surveyed(row: Mapping[str, Any], missing_days: int) -> MeterSurveyed:
    flags = row["flags"]
    return MeterSurveyed(
        **row,
        battery_low=None if flags is None else BATTERY_LOW in flags,
        missing_days=missing_days,
    )


def _held(row: Mapping[str, Any]) -> HeldReading:
    before, after = None, None
    if row["installed_at"] is not None:
        before, after = _ends(row)
        before = _mark(row, "before") or before
        after = _mark(row, "after") or after
    return HeldReading(
        meter_id=row["meter_id"],
        read_at=row["read_at"],
        register_dm3=row["register_dm3"],
        reason=row["reason"],
        received_at=row["received_at"],
        before=before,
        after=after,
    )


def _mark(row: Mapping[str, Any], side: str) -> Mark | None:
    """Return the trusted register on one side of a held one, where there is any."""
    if row[f"{side}_read_at"] is None:
        return None
    return Mark(
        read_at=row[f"{side}_read_at"],
        register_dm3=row[f"{side}_dm3"],
        turns=row[f"{side}_turns"],
    )


def _ends(stay: Mapping[str, Any]) -> tuple[Mark, Mark | None]:
    """Return the registers at the ends of a stay; they count where no reading stands between."""
    opening = Mark(read_at=stay["installed_at"], register_dm3=stay["opening_dm3"], turns=0)
    if stay["removed_at"] is None:
        return opening, None
    closing = Mark(
        read_at=stay["removed_at"],
        register_dm3=stay["closing_dm3"],
        turns=stay["closing_turns"],
    )
    return opening, closing
