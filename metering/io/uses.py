"""The gas of a meter in a period, as PostgreSQL knows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import asyncpg

import sql
from metering.consumption import register_at
from metering.estimate import Impossible
from metering.habit import PeriodUse
from metering.installation import Installation
from metering.io.overrides import read_overrides
from metering.io.registry import MeterUnknownError
from metering.meter import Meter
from metering.policy import meter_type_of
from metering.quality import Quality
from metering.reading import Mark
from metering.rule import Code, RuleBook, rule_book
from metering.survey import Window
from metering.used import Boundary, Made, Past, Used, made_register, used
from metering.validate import WindowNotOverError

# More months in a row than any override lets be made up.
MONTHS_BEFORE: Final = 12

_Q: Final = sql.queries("uses")
_FINDINGS: Final = sql.queries("findings")
_REGISTRY: Final = sql.queries("registry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """A stay without a register at the end of a period, and the mark at which its gas begins."""

    stay: Installation
    opening: Mark
    dial_dm3: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """The gas of meters in PostgreSQL; only reads, in one snapshot.

    ``midnight`` says with which instant a local day begins.
    """

    pool: asyncpg.Pool
    midnight: Callable[[date], datetime]

    async def of(
        self, meter_id: str, window: Window, *, norm_dm3_month: int | None, at: datetime
    ) -> list[Used]:
        """Return the gas of each stay of a meter in a period, oldest first.

        Raises:
            MeterUnknownError: no meter has this id.
            WindowNotOverError: the period still runs.
        """
        if window.end_at > at:
            raise WindowNotOverError(f"the period from {window.days.start} is not over")
        async with (
            self.pool.acquire() as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await _REGISTRY.find_meter(conn, meter_id=meter_id)
            if row is None:
                raise MeterUnknownError
            meter = Meter(**row)
            kind = meter_type_of(await _REGISTRY.find_meter_type(conn, meter_id=meter_id))
            book = rule_book(kind, await read_overrides(conn), on=window.days.start)
            rows = _REGISTRY.list_installations(conn, meter_id=meter_id)
            stays = [Installation(**one) async for one in rows]
            rows = _Q.billed_stretches(conn, meter_id=meter_id, period_start=window.days.start)
            billed = {one["installed_at"]: one async for one in rows}
            found = []
            for stay in stays:
                from_at = max(stay.installed_at, window.start_at)
                to_at = min(stay.removed_at or window.end_at, window.end_at)
                if from_at >= to_at:
                    continue
                known = billed.get(stay.installed_at)
                if known is not None and (known["from_at"], known["to_at"]) == (from_at, to_at):
                    found.append(_billed(stay, from_at, to_at, known))
                    continue
                past = await self._past(conn, stay, window, norm_dm3_month)
                opening, closing = [
                    await _boundary(conn, stay, instant, book) for instant in (from_at, to_at)
                ]
                found.append(
                    used(
                        stay,
                        dial_dm3=meter.dial_dm3,
                        opening=opening,
                        closing=closing,
                        past=past,
                        book=book,
                    )
                )
        return found

    async def closings_of(
        self, lacking: Sequence[Lacking], window: Window
    ) -> list[Made | Impossible | None]:
        """Make up registers at a period's end, in one snapshot; None where one stands there."""
        async with (
            self.pool.acquire() as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            overrides = await read_overrides(conn)
            found = []
            for one in lacking:
                meter_id = one.stay.meter_id
                kind = meter_type_of(await _REGISTRY.find_meter_type(conn, meter_id=meter_id))
                book = rule_book(kind, overrides, on=window.days.start)
                found.append(
                    made_register(
                        await _boundary(conn, one.stay, window.end_at, book),
                        opening=one.opening,
                        dial_dm3=one.dial_dm3,
                        past=await self._past(conn, one.stay, window, None, latest=True),
                        book=book,
                    )
                )
        return found

    async def _past(
        self,
        conn: asyncpg.Connection,
        stay: Installation,
        window: Window,
        norm_dm3_month: int | None,
        *,
        latest: bool = False,
    ) -> Past:
        """Read what the same stay used before; a month that was not billed counts as made up.

        With ``latest`` the period before is the last one that was measured, however long ago.
        """
        months = _months_before(window.days.start)
        rows = _FINDINGS.survey_usage(
            conn,
            meter_ids=[stay.meter_id],
            installed_ats=[stay.installed_at],
            period_starts=[*months, window.last_year.start],
        )
        uses = {
            one["period_start"]: PeriodUse(
                days=one["days"],
                volume_dm3=one["volume_dm3"],
                quality=Quality.ESTIMATED if one["estimated"] else Quality.ACTUAL,
            )
            async for one in rows
            if one["days"] > 0
        }
        previous = uses.get(window.previous.start)
        if latest:
            measured = [m for m in months if m in uses and uses[m].quality is Quality.ACTUAL]
            previous = uses[measured[-1]] if measured else None
        lived = [month for month in months if self.midnight(_next(month)) > stay.installed_at]
        return Past(
            last_year=uses.get(window.last_year.start),
            previous=previous,
            qualities=[
                uses[month].quality if month in uses else Quality.ESTIMATED for month in lived
            ],
            norm_dm3_month=norm_dm3_month,
        )


def _billed(stay: Installation, from_at: datetime, to_at: datetime, known: asyncpg.Record) -> Used:
    return Used(
        installation=stay,
        from_at=from_at,
        to_at=to_at,
        volume_dm3=known["volume_dm3"],
        quality=Quality.ESTIMATED if known["estimated"] else Quality.ACTUAL,
        method="billed",
        why=None,
        findings=(),
    )


async def _boundary(
    conn: asyncpg.Connection, stay: Installation, instant: datetime, book: RuleBook
) -> Boundary:
    row = await _REGISTRY.mark_before(
        conn, meter_id=stay.meter_id, installed_at=stay.installed_at, instant=instant
    )
    before = stay.opening if row is None else Mark(**row)
    row = await _REGISTRY.mark_after(conn, meter_id=stay.meter_id, instant=instant)
    after = None if row is None else Mark(**row)
    if after is None or not stay.holds(after.read_at):
        closing = stay.closing
        after = closing if closing is not None and closing.read_at > instant else None
    exact = register_at(instant, installation=stay, chained={}, billable=[before])
    quality = Quality.ACTUAL if exact is None else await _quality(conn, stay, exact, book)
    return Boundary(at=instant, exact=exact, quality=quality, before=before, after=after)


async def _quality(
    conn: asyncpg.Connection, stay: Installation, mark: Mark, book: RuleBook
) -> Quality:
    """Say how a register came to be; an opening or a closing was read by whoever stood there."""
    row = await _Q.how_known(conn, meter_id=stay.meter_id, read_at=mark.read_at)
    if row is None or mark in {stay.opening, stay.closing}:
        return Quality.ACTUAL
    if row["decision"] == "replace":
        return Quality.EDITED
    late_after = timedelta(days=book.rules[Code.LATE]["late_after_days"])
    late = row["received_at"] - mark.read_at > late_after
    return Quality.ACTUAL_LATE if late else Quality.ACTUAL


def _months_before(start: date) -> Sequence[date]:
    """Return the months before one, oldest first."""
    months = []
    for _ in range(MONTHS_BEFORE):
        start = (start - timedelta(days=1)).replace(day=1)
        months.append(start)
    return months[::-1]


def _next(month: date) -> date:
    return (month + timedelta(days=32)).replace(day=1)
