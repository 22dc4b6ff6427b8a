"""Penalties in PostgreSQL: what people enter about them, and what the run works out."""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

import asyncpg

import sql
from billing.debt import Asked, overdue
from billing.ledger import Account, Phase, Transfer
from billing.penalty import (
    BaseRate,
    Dispute,
    Moratorium,
    Penalty,
    PenaltyBook,
    penalty,
    penalty_charge,
)
from billing.policy import BillPolicy
from billing.reconcile import Run

_Q: Final = sql.queries("penalties")


async def read_book(connection: asyncpg.Connection) -> PenaltyBook:
    """Return all that was ever entered about penalties."""
    return PenaltyBook(
        rates=tuple([BaseRate(**dict(row)) async for row in _Q.list_base_rates(connection)]),
        moratoria=tuple([Moratorium(**dict(row)) async for row in _Q.list_moratoria(connection)]),
    )


async def penalties_as_json(
    connection: asyncpg.Connection, run: Run, account_ids: Sequence[str], policy: BillPolicy
) -> str:
    """Work out, for locked accounts, the penalties that the bills of a run charge; as JSON rows."""
    if policy.penalty_factor_bp is None:
        return "[]"
    book = await read_book(connection)
    if not book.rates:
        return "[]"
    rows = [
        _row(account_id, place, found)
        for account_id, place, found in await _worked_out(
            connection,
            run,
            account_ids,
            policy=policy,
            book=book,
            factor_bp=policy.penalty_factor_bp,
        )
    ]
    return json.dumps(rows)


async def _worked_out(  # noqa: PLR0913 - everything a penalty is made of
    connection: asyncpg.Connection,
    run: Run,
    account_ids: Sequence[str],
    *,
    policy: BillPolicy,
    book: PenaltyBook,
    factor_bp: int,
) -> list[tuple[str, int, Penalty]]:
    asked = await _asked(connection, run, account_ids)
    late_ids = sorted({account_id for account_id, _ in asked})
    charged = {
        (row["account_id"], row["bill_no"]): row["charged_minor"]
        async for row in _Q.penalties_charged(connection, account_ids=late_ids)
    }
    disputes = await read_disputes(connection, late_ids)
    rates_bp = book.rates_bp(run.period.days_with_end(), known_at=run.at)
    found: list[tuple[str, int, Penalty]] = []
    for place, ((account_id, bill_no), one) in enumerate(sorted(asked.items())):
        late = overdue(
            one,
            period=run.period,
            charged_minor=charged.get((account_id, bill_no), 0),
            disputes=disputes[account_id],
            known_at=run.at,
            zone=run.zone,
        )
        due = penalty(
            late,
            rates_bp=rates_bp,
            factor_bp=factor_bp,
            minimum_minor=policy.minimum_minor(one.transfers[0].currency),
        )
        if due is not None:
            found.append((account_id, place, due))
    return found


async def _asked(
    connection: asyncpg.Connection, run: Run, account_ids: Sequence[str]
) -> dict[tuple[str, str], Asked]:
    """Read the bills that may be overdue, each with its ledger."""
    start_at, _ = run.period.bounds(run.zone)
    rows = _Q.overdue_transfers(
        connection,
        account_ids=list(account_ids),
        period_start=run.period.start,
        period_end=run.period.end,
        start_at=start_at,
        at=run.at,
    )
    about: dict[tuple[str, str], tuple[date, datetime]] = {}
    moved: dict[tuple[str, str], list[Transfer]] = defaultdict(list)
    async for row in rows:
        key = (row["account_id"], row["bill_no"])
        about[key] = (row["due_on"], row["issued_at"])
        moved[key].append(_transfer(row))
    return {
        key: Asked(bill_no=key[1], due_on=due_on, issued_at=issued_at, transfers=moved[key])
        for key, (due_on, issued_at) in about.items()
    }


async def read_disputes(
    connection: asyncpg.Connection, account_ids: Sequence[str]
) -> dict[str, list[Dispute]]:
    """Return the disputes of some accounts."""
    found: dict[str, list[Dispute]] = defaultdict(list)
    async for row in _Q.disputes_of(connection, account_ids=list(account_ids)):
        values = dict(row)
        found[values.pop("account_id")].append(Dispute(**values))
    return found


def _transfer(row: asyncpg.Record) -> Transfer:
    return Transfer(
        account_id=row["account_id"],
        transfer_id=row["transfer_id"],
        phase=Phase(row["phase"]),
        debit_code=Account(row["debit_code"]),
        credit_code=Account(row["credit_code"]),
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        bill_no=row["bill_no"],
        posted_at=row["posted_at"],
    )


def _row(account_id: str, place: int, found: Penalty) -> dict[str, Any]:
    charge = penalty_charge(found, charge_no=1)
    return {
        "account_id": account_id,
        "place": place,
        "from_day": charge.from_day.isoformat(),
        "to_day": charge.to_day.isoformat(),
        "quantity": charge.quantity,
        "detail": dict(charge.detail),
        "net_minor": charge.net_minor,
    }
