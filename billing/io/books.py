"""What the audit reads from PostgreSQL: accounts page by page, debits by their keys."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

import sql
from billing.audit import DebitAtBank, FactsPage
from billing.bill import Charge, Line
from billing.correction import Adjustment, Outcome, Sum
from billing.debit import Debit, State
from billing.io.penalties import read_book
from billing.io.refund_rows import refund_of
from billing.io.rows import bill_of, charge_of, closing_of, line_of, terms_of, usage_of
from billing.ledger import Account, Phase, Transfer
from billing.notice import Notice
from billing.penalty import Dispute, PenaltyBook
from billing.proof import Adjusted, Corrected, Facts, MoneyStep, Revision
from billing.refund import Refund, RefundId
from billing.voucher import Voucher
from metering.installation import Installation
from metering.reading import Mark

_Q = sql.queries("audit")


class Books:
    """The reading half of the audit; every page is one snapshot, and nothing is written."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def facts(self, *, after: str, limit: int) -> FactsPage:
        """Return the next accounts after one, with all that is stored about them."""
        rows: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            account_ids = await _Q.audited_accounts(connection, after=after, chunk=limit)
            if account_ids is None:
                return FactsPage(last=None, accounts=())
            for name, found in {
                "installations": _Q.audited_installations(connection, account_ids=account_ids),
                "usages": _Q.audited_usages(connection, account_ids=account_ids),
                "revisions": _Q.audited_revisions(connection, account_ids=account_ids),
                "corrections": _Q.audited_corrections(connection, account_ids=account_ids),
                "adjustments": _Q.audited_adjustments(connection, account_ids=account_ids),
                "readings": _Q.audited_readings(connection, account_ids=account_ids),
                "bills": _Q.audited_bills(connection, account_ids=account_ids),
                "lines": _Q.audited_lines(connection, account_ids=account_ids),
                "charges": _Q.audited_charges(connection, account_ids=account_ids),
                "accounts": _Q.audited_tariffs(connection, account_ids=account_ids),
                "terms": _Q.audited_terms(connection, account_ids=account_ids),
                "holds": _Q.audited_holds(connection, account_ids=account_ids),
                "transfers": _Q.audited_transfers(connection, account_ids=account_ids),
                "debits": _Q.audited_debits(connection, account_ids=account_ids),
                "notices": _Q.audited_notices(connection, account_ids=account_ids),
                "mandates": _Q.audited_mandates(connection, account_ids=account_ids),
                "disputes": _Q.audited_disputes(connection, account_ids=account_ids),
                "closings": _Q.audited_closings(connection, account_ids=account_ids),
                "vouchers": _Q.audited_vouchers(connection, account_ids=account_ids),
                "refunds": _Q.audited_refunds(connection, account_ids=account_ids),
                "money_steps": _Q.audited_money_steps(connection, account_ids=account_ids),
                "told": _Q.audited_messages(connection, account_ids=account_ids),
            }.items():
                async for row in found:
                    rows[row["account_id"]][name].append(dict(row))
        return FactsPage(
            last=account_ids[-1],
            accounts=[_facts(account_id, rows[account_id]) for account_id in account_ids],
        )

    async def penalty_book(self) -> PenaltyBook:
        """Return all that was ever entered about penalties."""
        async with self._pool.acquire() as connection:
            return await read_book(connection)

    async def debits_by_key(self, keys: Mapping[str, str]) -> dict[str, Debit]:
        """Return debits by their keys; ``keys`` says whose account each key names."""
        async with self._pool.acquire() as connection:
            rows = _Q.debits_by_key(connection, account_ids=list(keys.values()), keys=list(keys))
            return {row["idempotency_key"]: _debit(dict(row)) async for row in rows}

    async def debits_at_bank(
        self, *, at: datetime, after: DebitAtBank | None, limit: int
    ) -> Sequence[DebitAtBank]:
        """Return the next debits that had a payment at the bank by an instant."""
        async with self._pool.acquire() as connection:
            rows = _Q.debits_at_bank(
                connection,
                at=at,
                after_account_id=after.account_id if after else "",
                after_bill_no=after.bill_no if after else "",
                after_attempt=after.attempt if after else 0,
                chunk=limit,
            )
            return [DebitAtBank(**dict(row)) async for row in rows]

    async def refunds_by_key(self, keys: Sequence[RefundId]) -> dict[str, Refund]:
        """Return refunds by their keys."""
        async with self._pool.acquire() as connection:
            rows = _Q.refunds_by_name(
                connection,
                account_ids=[one.account_id for one in keys],
                bill_nos=[one.bill_no for one in keys],
                attempts=[one.attempt for one in keys],
                refund_nos=[one.refund_no for one in keys],
            )
            found = [refund_of(row) async for row in rows]
        return {one.key: one for one in found}

    async def refunds_at_bank(
        self, *, at: datetime, after: Refund | None, limit: int
    ) -> Sequence[Refund]:
        """Return the next refunds that stood at the bank by an instant."""
        async with self._pool.acquire() as connection:
            rows = _Q.refunds_at_bank(
                connection,
                at=at,
                after_account_id=after.account_id if after else "",
                after_bill_no=after.bill_no if after else "",
                after_attempt=after.attempt if after else 0,
                after_refund_no=after.refund_no if after else 0,
                chunk=limit,
            )
            return [refund_of(row) async for row in rows]

    async def installations_without_account(self) -> Sequence[str]:
        """Return the meters whose gas nobody is billed for."""
        async with self._pool.acquire() as connection:
            rows = _Q.installations_without_account(connection)
            return [row["meter_id"] async for row in rows]


def _facts(account_id: str, rows: Mapping[str, list[dict[str, Any]]]) -> Facts:
    dials_dm3 = {row["meter_id"]: row.pop("dial_dm3") for row in rows["installations"]}
    lines: dict[str, list[Line]] = defaultdict(list)
    for row in rows["lines"]:
        del row["account_id"]
        lines[row.pop("bill_no")].append(line_of(row))
    charges: dict[str, list[Charge]] = defaultdict(list)
    for row in rows["charges"]:
        del row["account_id"]
        charges[row.pop("bill_no")].append(charge_of(row))
    return Facts(
        account_id=account_id,
        opened_with=rows["accounts"][0]["tariff_code"],
        terms=[terms_of(row) for row in rows["terms"]],
        installations=[Installation(**row) for row in rows["installations"]],
        dials_dm3=dials_dm3,
        readings={
            (row["meter_id"], row["read_at"]): Mark(
                read_at=row["read_at"], register_dm3=row["register_dm3"], turns=row["turns"]
            )
            for row in rows["readings"]
        },
        usages=[usage_of(row) for row in rows["usages"]],
        bills=[
            bill_of(row, tuple(lines[row["bill_no"]]), tuple(charges[row["bill_no"]]))
            for row in rows["bills"]
        ],
        held=frozenset(row["period_start"] for row in rows["holds"]),
        transfers=[_transfer(row) for row in rows["transfers"]],
        debits=[_debit(row) for row in rows["debits"]],
        notices={
            (row["bill_no"], row["attempt"]): Notice(
                amount_minor=row["amount_minor"],
                currency=row["currency"],
                charge_on=row["charge_on"],
                noticed_at=row["noticed_at"],
            )
            for row in rows["notices"]
        },
        bank_mandate_ids={row["mandate_id"]: row["bank_mandate_id"] for row in rows["mandates"]},
        disputes=[_dispute(row) for row in rows["disputes"]],
        closing=next((closing_of(row) for row in rows["closings"]), None),
        revisions=[_revision(row) for row in rows["revisions"]],
        corrections=[_corrected(row) for row in rows["corrections"]],
        adjustments=[_adjusted(row) for row in rows["adjustments"]],
        vouchers=[Voucher(**row) for row in rows["vouchers"]],
        refunds=[refund_of(row) for row in rows["refunds"]],
        money_steps=[_money_step(row) for row in rows["money_steps"]],
        told=frozenset(name for row in rows["told"] for name in row["told"]),
        told_since=next((row["since"] for row in rows["told"]), None),
    )


def _revision(row: dict[str, Any]) -> Revision:
    revision, made_at = row.pop("revision"), row.pop("made_at")
    return Revision(usage=usage_of(row), revision=revision, made_at=made_at)


def _corrected(row: Mapping[str, Any]) -> Corrected:
    return Corrected(
        period_start=row["period_start"],
        correction_no=row["correction_no"],
        corrects_bill_no=row["corrects_bill_no"],
        outcome=Outcome(row["outcome"]),
        rebill_no=row["rebill_no"],
        difference=_sum(row),
        made_at=row["made_at"],
    )


def _adjusted(row: Mapping[str, Any]) -> Adjusted:
    return Adjusted(
        period_start=row["period_start"],
        adjustment=Adjustment(
            correction_no=row["correction_no"],
            vat_rate_bp=row["vat_rate_bp"],
            amount=_sum(row),
            bill_no=row["bill_no"],
        ),
    )


def _money_step(row: Mapping[str, Any]) -> MoneyStep:
    return MoneyStep(
        bill_no=row["bill_no"],
        attempt=row["attempt"],
        to_state=State(row["to_state"]),
        taken_at=row["taken_at"],
    )


def _sum(row: Mapping[str, Any]) -> Sum:
    return Sum(volume_dm3=row["volume_dm3"], net_minor=row["net_minor"], vat_minor=row["vat_minor"])


def _transfer(row: dict[str, Any]) -> Transfer:
    row["phase"] = Phase(row["phase"])
    row["debit_code"] = Account(row["debit_code"])
    row["credit_code"] = Account(row["credit_code"])
    return Transfer(**row)


def _dispute(row: dict[str, Any]) -> Dispute:
    del row["account_id"]
    return Dispute(**row)


def _debit(row: dict[str, Any]) -> Debit:
    for name in ("state", "before_chargeback", "before_review"):
        row[name] = None if row[name] is None else State(row[name])
    return Debit(**row)
