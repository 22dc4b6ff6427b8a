"""Proposals of prices in PostgreSQL: one person proposes, another decides, prices change."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any, Final, assert_never

import asyncpg
import structlog

import sql
from billing.io.prices import check_not_billed, end_tariff, insert_tariff, read_prices
from billing.io.rows import tariff_of
from billing.period import Calendar
from billing.proposal import (
    Change,
    Decision,
    Outcome,
    PriceDecidedError,
    PriceProposalUnknownError,
    Proposal,
    TariffEnd,
    VatBilledError,
    check_end,
    check_future,
    check_second_person,
    check_vat,
    ended_by,
    first_day,
)
from billing.tariff import Tariff, TariffOverlapError, VatRate

_Q: Final = sql.queries("proposals")
_BILLS: Final = sql.queries("bills")

# Beyond every number: what the database calls an integer.
NUMBER_MAX: Final = 2**31 - 1

log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceDesk:
    """Where prices are proposed and decided; works with the service's rights."""

    pool: asyncpg.Pool
    calendar: Calendar

    async def propose(
        self, change: Change, *, source: str, by: str, at: datetime
    ) -> tuple[Proposal, bool]:
        """Propose a change; False when the same person's same proposal waits already.

        Raises:
            PriceDayPastError: it changes a day that has begun.
            TariffOverlapError: a day would have two prices.
            TariffGapError: days between two versions would have none.
            TariffCurrencyError: the tariff is in another currency.
            TariffUnknownError: what shall end is not open on that day.
            TariffBilledError: days from then on were billed with what it would end.
            VatKnownError: a rate begins on that day.
            VatBilledError: days from then on were billed with the rate before.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await _Q.lock_proposals(conn)
            for waiting in await _listed(conn, before=NUMBER_MAX, waiting=True, page=NUMBER_MAX):
                said = (waiting.change, waiting.source, waiting.proposed_by)
                if said == (change, source, by):
                    return waiting, False
            await self._check(conn, change, at)
            made = await _written(conn, change, source, set_up=False, by=by, at=at)
        log.info("price.proposed", proposal_no=made.proposal_no, first_day=str(first_day(change)))
        return made, True

    async def approve(self, proposal_no: int, *, by: str, at: datetime) -> tuple[Proposal, bool]:
        """Approve what another person proposed; False when this person did so before.

        The price and the approval are written together, and all that was checked when it was
        proposed is checked again.

        Raises:
            PriceProposalUnknownError: no proposal has this number.
            PriceDecidedError: it was decided otherwise, or by somebody else.
            SecondPersonError: the same person proposed it.
            Exception: what ``propose`` raises.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await _Q.lock_proposals(conn)
            known = await _found(conn, proposal_no)
            if known.decision is not None:
                _check_repeated(known.decision, Outcome.APPROVED, None, by)
                return known, False
            check_second_person(known.proposed_by, by)
            await _BILLS.lock_prices_for_change(conn)
            await self._check(conn, known.change, at)
            await self._enact(conn, known.change, source=known.source, by=by)
            made = await _decided(conn, known, Outcome.APPROVED, None, by=by, at=at)
        log.info("price.approved", proposal_no=proposal_no)
        return made, True

    async def refuse(
        self, proposal_no: int, *, because: str, by: str, at: datetime
    ) -> tuple[Proposal, bool]:
        """Turn a proposal down; its proposer withdraws it. False when that was done before.

        Raises:
            PriceProposalUnknownError: no proposal has this number.
            PriceDecidedError: it was decided otherwise, or by somebody else.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            await _Q.lock_proposals(conn)
            known = await _found(conn, proposal_no)
            outcome = known.outcome_of_refusal(by)
            if known.decision is not None:
                _check_repeated(known.decision, outcome, because, by)
                return known, False
            made = await _decided(conn, known, outcome, because, by=by, at=at)
        log.info("price.refused", proposal_no=proposal_no, outcome=outcome.value)
        return made, True

    async def set_up(
        self, tariff: Tariff, *, source: str, proposed_by: str, at: datetime
    ) -> tuple[Proposal, bool]:
        """Give days that never had a price their first one, also days that are over.

        For whoever sets up a town, on the machine itself. ``tariff`` names who approved it. False
        when exactly this was set up before.

        Raises:
            SecondPersonError: both names are one person's.
            TariffOverlapError: one of the days has a price.
            TariffGapError: days between two versions would have none.
            TariffCurrencyError: the tariff is in another currency.
        """
        check_second_person(proposed_by, tariff.approved_by)
        change, by = replace(tariff, approved_by=""), tariff.approved_by
        async with self.pool.acquire() as conn, conn.transaction():
            await _Q.lock_proposals(conn)
            for one in await _listed(conn, before=NUMBER_MAX, waiting=False, page=NUMBER_MAX):
                if one.set_up and _names(one) == (change, source, proposed_by, by):
                    return one, False
            await _BILLS.lock_prices_for_change(conn)
            tariffs, _ = await read_prices(conn)
            if (open_one := ended_by(change, tariffs)) is not None:
                raise TariffOverlapError(
                    tariff_code=open_one.tariff_code, valid_from=open_one.valid_from
                )
            await insert_tariff(conn, tariff)
            made = await _written(conn, change, source, set_up=True, by=proposed_by, at=at)
            made = await _decided(conn, made, Outcome.APPROVED, None, by=by, at=at)
        log.info("price.set_up", proposal_no=made.proposal_no, first_day=str(tariff.valid_from))
        return made, True

    async def proposal(self, proposal_no: int) -> Proposal:
        """Return a proposal and what became of it.

        Raises:
            PriceProposalUnknownError: no proposal has this number.
        """
        async with self.pool.acquire() as conn:
            return await _found(conn, proposal_no)

    async def proposals(
        self, *, page: int, before: int = NUMBER_MAX, waiting: bool = False
    ) -> list[Proposal]:
        """Return proposals, newest first; all, or those that wait for a second person."""
        async with self.pool.acquire() as conn:
            return await _listed(conn, before=before, waiting=waiting, page=page)

    async def _check(self, conn: asyncpg.Connection, change: Change, at: datetime) -> None:
        check_future(change, today=self.calendar.day_of(at))
        tariffs, vat_rates = await read_prices(conn)
        match change:
            case Tariff():
                if ended_by(change, tariffs) is not None:
                    await self._check_not_billed(conn, change.tariff_code, change.valid_from)
            case TariffEnd():
                check_end(change, tariffs)
                await self._check_not_billed(conn, change.tariff_code, change.valid_to)
            case VatRate():
                check_vat(change, vat_rates)
                day = change.valid_from
                if await _Q.vat_billed_after(
                    conn, valid_from=day, from_at=self.calendar.midnight(day)
                ):
                    raise VatBilledError(valid_from=day)
            case _:
                assert_never(change)

    async def _enact(
        self, conn: asyncpg.Connection, change: Change, *, source: str, by: str
    ) -> None:
        match change:
            case Tariff():
                tariffs, _ = await read_prices(conn)
                if ended_by(change, tariffs) is not None:
                    await end_tariff(conn, change.tariff_code, valid_to=change.valid_from)
                await insert_tariff(conn, replace(change, approved_by=by))
            case TariffEnd():
                await end_tariff(conn, change.tariff_code, valid_to=change.valid_to)
            case VatRate():
                await _Q.add_vat_rate(
                    conn, valid_from=change.valid_from, rate_bp=change.rate_bp, source=source
                )
            case _:
                assert_never(change)

    async def _check_not_billed(
        self, conn: asyncpg.Connection, tariff_code: str, day: date
    ) -> None:
        ends_at = self.calendar.midnight(day)
        await check_not_billed(conn, tariff_code, valid_to=day, ends_at=ends_at)


async def read_proposers(conn: asyncpg.Connection) -> dict[tuple[str, date], str]:
    """Return who proposed each version of a tariff, as the caller's transaction sees it."""
    rows = _Q.list_proposers(conn)
    return {(row["tariff_code"], row["valid_from"]): row["proposed_by"] async for row in rows}


def _check_repeated(known: Decision, outcome: Outcome, because: str | None, by: str) -> None:
    if (known.outcome, known.because, known.decided_by) != (outcome, because, by):
        raise PriceDecidedError(f"the proposal was {known.outcome} by {known.decided_by}")


async def _written(  # noqa: PLR0913 - what a proposal is
    conn: asyncpg.Connection, change: Change, source: str, *, set_up: bool, by: str, at: datetime
) -> Proposal:
    kind, code, content = _content(change)
    proposal_no = await _Q.add_proposal(
        conn,
        kind=kind,
        tariff_code=code,
        first_day=first_day(change),
        content=json.dumps(content, default=str),
        source=source,
        set_up=set_up,
        proposed_by=by,
        proposed_at=at,
    )
    return await _found(conn, proposal_no)


async def _decided(  # noqa: PLR0913 - what a decision is
    conn: asyncpg.Connection,
    known: Proposal,
    outcome: Outcome,
    because: str | None,
    *,
    by: str,
    at: datetime,
) -> Proposal:
    await _Q.add_decision(
        conn,
        proposal_no=known.proposal_no,
        proposed_by=known.proposed_by,
        outcome=outcome,
        because=because,
        decided_by=by,
        decided_at=at,
    )
    return await _found(conn, known.proposal_no)


async def _found(conn: asyncpg.Connection, proposal_no: int) -> Proposal:
    row = await _Q.find_proposal(conn, proposal_no=proposal_no)
    if row is None:
        raise PriceProposalUnknownError
    return _proposal(row)


async def _listed(
    conn: asyncpg.Connection, *, before: int, waiting: bool, page: int
) -> list[Proposal]:
    rows = _Q.list_proposals(conn, before=before, waiting=waiting, page=page)
    return [_proposal(row) async for row in rows]


def _names(one: Proposal) -> tuple[Change, str, str, str | None]:
    decided_by = None if one.decision is None else one.decision.decided_by
    return one.change, one.source, one.proposed_by, decided_by


def _proposal(row: Mapping[str, Any]) -> Proposal:
    decision = None
    if row["outcome"] is not None:
        decision = Decision(
            outcome=Outcome(row["outcome"]),
            because=row["because"],
            decided_by=row["decided_by"],
            decided_at=row["decided_at"],
        )
    return Proposal(
        proposal_no=row["proposal_no"],
        change=_change(row["kind"], json.loads(row["content"])),
        source=row["source"],
        set_up=row["set_up"],
        proposed_by=row["proposed_by"],
        proposed_at=row["proposed_at"],
        decision=decision,
    )


def _content(change: Change) -> tuple[str, str | None, dict[str, Any]]:
    """Return a change's kind, its tariff and its content as the table holds them."""
    content = asdict(change)
    match change:
        case Tariff():
            del content["approved_by"]
            return "tariff", change.tariff_code, content
        case TariffEnd():
            return "end", change.tariff_code, content
        case VatRate():
            return "vat_rate", None, content
        case _:
            assert_never(change)


def _change(kind: str, content: dict[str, Any]) -> Change:
    for name in ("valid_from", "valid_to"):
        if content.get(name) is not None:
            content[name] = date.fromisoformat(content[name])
    if kind == "tariff":
        bands = json.dumps(content["bands"])
        return tariff_of({**content, "bands": bands, "approved_by": ""})
    return TariffEnd(**content) if kind == "end" else VatRate(**content)
