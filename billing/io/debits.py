"""Where debits and mandates are kept: the only place that speaks SQL about them.

``Debits`` reads lists to work on, each in one statement. ``Debits.begin()`` opens one transaction
and hands out its ``Desk``; no desk may be held while the bank is asked.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Final

import asyncpg

import sql
from billing.debit import Claim, Debit, DebitId
from billing.io.account_changes import ChangeBook, ChangeDesk
from billing.io.announce_rows import AnnounceRows
from billing.io.bank_events import EventBook, EventDesk
from billing.io.debit_rows import (
    candidate_of,
    debit_id_of,
    debit_of,
    mandate_of,
    name_of,
    names_of,
    step_columns,
)
from billing.io.debit_stops import DebitStops
from billing.io.refunds import RefundBook, RefundDesk, post_steps
from billing.io.run_stops import StopBook
from billing.mandate import Mandate
from billing.notice import (
    ATTEMPTS_MAX,
    FAILURES_MAX,
    REPEATABLE_CANCELS,
    RETRYABLE_CAUSES,
    Candidate,
    DueBill,
)
from billing.order import debit_of_key
from billing.policy import NO_POLICY, BillPolicy

_Q: Final = sql.queries("debits")


class StaleDebitError(Exception):
    """A debit was no longer in the state we saw it in, although it was locked: our bug."""


class Desk(AnnounceRows, ChangeDesk, RefundDesk, EventDesk, DebitStops):
    """One open transaction: what is locked here stays ours until it ends."""

    def __init__(self, connection: asyncpg.Connection, *, mails: bool = False) -> None:
        super().__init__(connection)
        self._mails = mails

    async def lock_mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Lock a mandate, waiting for whoever holds it; None if there is no such mandate."""
        row = await _Q.lock_mandate(self._db, account_id=account_id, mandate_id=mandate_id)
        return None if row is None else mandate_of(row)

    async def try_lock_mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Lock a mandate; None if somebody else is at work on it."""
        return (await self._try_lock([(account_id, mandate_id)])).get((account_id, mandate_id))

    async def _try_lock(self, named: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Mandate]:
        rows = _Q.try_lock_mandates(
            self._db,
            account_ids=[account_id for account_id, _ in named],
            mandate_ids=[mandate_id for _, mandate_id in named],
        )
        return {(row["account_id"], row["mandate_id"]): mandate_of(row) async for row in rows}

    async def usable_mandate(self, account_id: str) -> Mandate | None:
        """Lock the one mandate of an account that is usable or on its way to be."""
        row = await _Q.usable_mandate(self._db, account_id=account_id)
        return None if row is None else mandate_of(row)

    async def mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Return a mandate as it stands, without a lock."""
        row = await _Q.mandate(self._db, account_id=account_id, mandate_id=mandate_id)
        return None if row is None else mandate_of(row)

    async def add_mandate(self, mandate: Mandate) -> bool:
        """Keep a new mandate; False if the account has a usable one already."""
        kept = await _Q.add_mandate(
            self._db,
            account_id=mandate.account_id,
            mandate_id=mandate.mandate_id,
            state=mandate.state,
            enrolment=mandate.enrolment,
            payment_minor_max=mandate.caps.payment_minor_max,
            month_minor_max=mandate.caps.month_minor_max,
            currency=mandate.currency,
            return_digest=mandate.return_digest,
            at=mandate.created_at,
        )
        return kept is True

    async def save_mandate(self, mandate: Mandate) -> None:
        """Write a locked mandate back."""
        await _Q.save_mandate(
            self._db,
            account_id=mandate.account_id,
            mandate_id=mandate.mandate_id,
            state=mandate.state,
            enrolment=mandate.enrolment,
            payment_minor_max=mandate.caps.payment_minor_max,
            month_minor_max=mandate.caps.month_minor_max,
            bank_request_id=mandate.bank_request_id,
            bank_flow_id=mandate.bank_flow_id,
            authorisation_url=mandate.authorisation_url,
            return_digest=mandate.return_digest,
            bank_mandate_id=mandate.bank_mandate_id,
            account_number_ending=mandate.account_number_ending,
            at=mandate.changed_at,
        )

    async def claim_debits(self, *, at: datetime, limit: int) -> list[Claim]:
        """Lock debits that are ready to be sent, passing over those in other hands."""
        return [
            Claim(
                debit=debit_of(row),
                bank_mandate_id=row["bank_mandate_id"],
                wanted=row["wanted"],
                frozen=row["frozen"],
                stopped=row["stopped"],
            )
            async for row in _Q.claim_debits(self._db, at=at, batch=limit)
        ]

    async def lock_debit(self, debit_id: DebitId) -> Debit | None:
        """Lock one debit; None if there is no such debit."""
        row = await _Q.lock_debit(self._db, **name_of(debit_id))
        return None if row is None else debit_of(row)

    async def lock_debits(self, debit_ids: Sequence[DebitId]) -> list[Debit]:
        """Lock debits, each after the other in the order of their names."""
        rows = _Q.lock_debits(self._db, **names_of(debit_ids))
        return [debit_of(row) async for row in rows]

    async def try_lock_noticed(
        self, candidates: Sequence[Candidate]
    ) -> list[tuple[Mandate, Debit]]:
        """Lock what is announced, mandates first; leave out what somebody else is at work on."""
        names = [(one.debit_id.account_id, one.mandate_id) for one in candidates]
        mandates = await self._try_lock(names)
        free = [
            one.debit_id for one, name in zip(candidates, names, strict=True) if name in mandates
        ]
        debits = [debit_of(row) async for row in _Q.try_lock_noticed(self._db, **names_of(free))]
        return [(mandates[one.account_id, one.mandate_id], one) for one in debits]

    async def payment_holders(
        self, named: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], DebitId]:
        """Return which debits go by an account's names of payments already."""
        rows = _Q.payment_holders(
            self._db,
            account_ids=[account_id for account_id, _ in named],
            bank_payment_ids=[payment_id for _, payment_id in named],
        )
        return {(row["account_id"], row["bank_payment_id"]): debit_id_of(row) async for row in rows}

    async def unsent_debits(self, account_id: str, mandate_id: str) -> list[Debit]:
        """Lock the debits of a mandate that the bank has certainly never seen."""
        rows = _Q.unsent_debits(self._db, account_id=account_id, mandate_id=mandate_id)
        return [debit_of(row) async for row in rows]

    async def accepted_debits(self, account_id: str, mandate_id: str) -> list[Debit]:
        """Lock the debits that the bank has accepted and, for all we know, not sent on."""
        rows = _Q.accepted_debits(self._db, account_id=account_id, mandate_id=mandate_id)
        return [debit_of(row) async for row in rows]

    async def other_alive(self, debit_id: DebitId) -> Debit | None:
        """Lock another attempt for the same bill that may still take money."""
        row = await _Q.other_alive(self._db, **name_of(debit_id))
        return None if row is None else debit_of(row)

    async def save_debit(self, before: Debit, after: Debit) -> None:
        """Write a locked debit back, one step on, with that step and what the ledger says of it.

        Raises:
            StaleDebitError: the debit is not in the state it was read in.
        """
        await self.save_debits([(before, after)])

    async def save_debits(self, steps: Sequence[tuple[Debit, Debit]]) -> None:
        """Write locked debits back, each one step on, from before to after.

        Raises:
            StaleDebitError: one is not in the state it was read in.
        """
        rows = _Q.move_debits(self._db, **step_columns(steps))
        numbers = {debit_id_of(row): row["step_no"] async for row in rows}
        for before, after in steps:
            if after.debit_id not in numbers:
                raise StaleDebitError(f"{before.key} is not {before.state} any more")
        await post_steps(self._db, steps)
        for before, after in steps:
            await self.tell_step(before, after, step_no=numbers[after.debit_id])

    async def touch_debit(self, debit_id: DebitId, *, at: datetime) -> None:
        """Note that we looked at a debit and found nothing new."""
        await _Q.touch_debit(self._db, **name_of(debit_id), at=at)


class Debits(ChangeBook, RefundBook, EventBook, StopBook):
    """Debits and mandates in PostgreSQL; many processes may use them at once."""

    def __init__(self, pool: asyncpg.Pool, policy: BillPolicy = NO_POLICY) -> None:
        super().__init__(pool)
        self._policy = policy

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Desk]:
        """Open one transaction; it is committed at the end, or undone if anything is raised."""
        async with self._pool.acquire() as connection, connection.transaction():
            yield Desk(connection, mails=self._policy.mails)

    async def bills_to_notice(self, *, today: date, limit: int) -> list[DueBill]:
        """Return bills to be asked for, the longest due first."""
        rows = _Q.bills_to_notice(
            self._pool,
            today=today,
            retryable_causes=sorted(RETRYABLE_CAUSES),
            repeatable_cancels=sorted(REPEATABLE_CANCELS),
            failures_max=FAILURES_MAX,
            attempts_max=ATTEMPTS_MAX,
            currencies=list(self._policy.minimums_minor),
            minimums=list(self._policy.minimums_minor.values()),
            batch=limit,
        )
        return [DueBill(**dict(row)) async for row in rows]

    async def debits_to_tell(self, *, at: datetime, limit: int) -> list[Candidate]:
        """Return held and planned debits to look at again."""
        rows = _Q.debits_to_tell(self._pool, at=at, batch=limit)
        return [candidate_of(row) async for row in rows]

    async def debits_to_record(self, *, charge_until: date, limit: int) -> list[Candidate]:
        """Return noticed debits whose day to be recorded has come."""
        rows = _Q.debits_to_record(self._pool, charge_until=charge_until, batch=limit)
        return [candidate_of(row) async for row in rows]

    async def payments_to_withdraw(self, *, limit: int) -> list[Debit]:
        """Return debits that the bank has accepted and nobody wants any more."""
        return [debit_of(row) async for row in _Q.payments_to_withdraw(self._pool, batch=limit)]

    async def debits_to_close(self, *, fallen_before: datetime, limit: int) -> list[DebitId]:
        """Return debits that failed or were disputed so long ago, and still wait."""
        rows = _Q.debits_to_close(self._pool, fallen_before=fallen_before, batch=limit)
        return [DebitId(**dict(row)) async for row in rows]

    async def mandates_to_withdraw(self, *, limit: int) -> list[Mandate]:
        """Return mandates that the resident cancelled and the bank has not ended yet."""
        return [mandate_of(row) async for row in _Q.mandates_to_withdraw(self._pool, batch=limit)]

    async def mandates_to_retire(self, *, limit: int) -> list[tuple[str, str]]:
        """Return account and mandate where the account has ended and nothing is owed any more."""
        rows = _Q.mandates_to_retire(self._pool, batch=limit)
        return [(row["account_id"], row["mandate_id"]) async for row in rows]

    async def debits_to_reread(self, *, unchanged_since: datetime, limit: int) -> list[Debit]:
        """Return debits under way without news for too long, the longest first."""
        rows = _Q.debits_to_reread(self._pool, unchanged_since=unchanged_since, batch=limit)
        return [debit_of(row) async for row in rows]

    async def account_currency(self, account_id: str) -> str | None:
        """Return the currency an account is billed in; None if there is no such account."""
        currency: str | None = await _Q.account_currency(self._pool, account_id=account_id)
        return currency

    async def mandate(self, account_id: str, mandate_id: str) -> Mandate | None:
        """Return one mandate."""
        row = await _Q.mandate(self._pool, account_id=account_id, mandate_id=mandate_id)
        return None if row is None else mandate_of(row)

    async def mandate_by_return(self, digest: bytes) -> Mandate | None:
        """Return the mandate whose resident comes back from the bank's page."""
        row = await _Q.mandate_by_return(self._pool, return_digest=digest)
        return None if row is None else mandate_of(row)

    async def mandate_by_bank_id(self, bank_mandate_id: str) -> Mandate | None:
        """Return the mandate behind the bank's name for it."""
        row = await _Q.mandate_by_bank_id(self._pool, bank_mandate_id=bank_mandate_id)
        return None if row is None else mandate_of(row)

    async def mandate_by_request(self, bank_request_id: str) -> Mandate | None:
        """Return the mandate that a billing request was made for."""
        row = await _Q.mandate_by_request(self._pool, bank_request_id=bank_request_id)
        return None if row is None else mandate_of(row)

    async def debit_by_payment(self, bank_payment_id: str) -> Debit | None:
        """Return the debit that a payment at the bank belongs to."""
        row = await _Q.debit_by_payment(self._pool, bank_payment_id=bank_payment_id)
        return None if row is None else debit_of(row)

    async def debit_by_key(self, account_id: str, key: str) -> Debit | None:
        """Return the debit that a key names, if it is recorded, or ended before it was."""
        named = debit_of_key(key)
        if named is None or named.account_id != account_id:
            return None
        row = await _Q.debit_named(
            self._pool, account_id=account_id, bill_no=named.bill_no, attempt=named.attempt
        )
        return None if row is None else debit_of(row)
