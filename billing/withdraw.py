"""Withdrawing: tell the bank what residents have paused or cancelled.

Their wish is in force already, without the bank; this only keeps the bank from going on with what
it accepted before. What is too late to stop goes its way and is followed like everything else.
"""

from datetime import datetime
from typing import Protocol

import structlog

from billing.adopt import adopt
from billing.bank import BankError, BankMandate, BankRefusedError, BillingRequest, Payment
from billing.debit import Debit, Event, State, moved
from billing.follow import FollowBank, FollowCounts, FollowStore
from billing.mandate import ENDED, Mandate
from billing.news import each, take_answers, unwanted

log = structlog.get_logger()


class WithdrawStore(FollowStore, Protocol):
    """Where the wishes of residents are kept."""

    async def payments_to_withdraw(self, *, limit: int) -> list[Debit]:
        """Return debits that the bank has accepted and nobody wants any more."""

    async def mandates_to_withdraw(self, *, limit: int) -> list[Mandate]:
        """Return mandates that the resident cancelled and the bank has not ended yet."""


class WithdrawBank(FollowBank, Protocol):
    """What withdrawing asks of the bank; all of it may raise BankError."""

    async def cancel_payment(self, payment_id: str) -> Payment:
        """Cancel a payment that is not on its way yet."""

    async def cancel_mandate(self, bank_mandate_id: str) -> BankMandate:
        """End a mandate."""

    async def cancel_billing_request(self, request_id: str) -> BillingRequest:
        """Take back a request that the payer has not agreed to."""


async def withdraw(
    *, store: WithdrawStore, bank: WithdrawBank, at: datetime, limit: int
) -> FollowCounts:
    """Cancel at the bank what residents have withdrawn, as far as it is not too late."""

    async def stop(debit: Debit) -> Payment | None:
        assert debit.bank_payment_id is not None, "what was accepted has its payment"
        try:
            return await bank.cancel_payment(debit.bank_payment_id)
        except BankRefusedError:
            return await bank.get_payment(debit.bank_payment_id)

    debits = [
        await _unwanted(store, debit, at=at)
        for debit in await store.payments_to_withdraw(limit=limit)
    ]
    answers = zip(debits, await each(debits, stop), strict=True)
    counts = await take_answers(store, bank, answers, at=at)
    for mandate in await store.mandates_to_withdraw(limit=limit):
        counts[await _withdraw_mandate(store, bank, mandate, at=at)] += 1
    if counts:
        log.info("withdraw.done", **counts)
    return FollowCounts(**counts)


async def _unwanted(store: WithdrawStore, seen: Debit, *, at: datetime) -> Debit:
    """Note that a debit is not wanted any more, before the bank is asked to stop it."""
    async with store.begin() as desk:
        mandate = await desk.lock_mandate(seen.account_id, seen.mandate_id)
        debit = await desk.lock_debit(seen.debit_id)
        assert mandate is not None, "mandates are never removed"
        assert debit is not None, "debits are never removed"
        if debit.state is State.ACCEPTED and await unwanted(desk, debit, mandate):
            after = moved(debit, Event.WITHDRAW, at=at, reason="withdrawn")
            await desk.save_debit(debit, after)
            return after
        return debit


async def _withdraw_mandate(
    store: WithdrawStore, bank: WithdrawBank, mandate: Mandate, *, at: datetime
) -> str:
    """End a mandate at the bank, whatever the resident has done on the bank's page meanwhile."""
    try:
        now = await adopt(store=store, bank=bank, mandate=mandate, at=at)
        if now.state not in ENDED:
            await _end_at_bank(bank, now)
            now = await adopt(store=store, bank=bank, mandate=now, at=at)
    except BankError as error:
        log.warning("withdraw.silent", mandate=mandate.mandate_id, reason=error.reason)
        return "silent"
    return "moved" if now.state in ENDED else "unchanged"


async def _end_at_bank(bank: WithdrawBank, mandate: Mandate) -> None:
    try:
        if mandate.bank_mandate_id is not None:
            await bank.cancel_mandate(mandate.bank_mandate_id)
        elif mandate.bank_request_id is not None:
            await bank.cancel_billing_request(mandate.bank_request_id)
    except BankRefusedError as error:
        # It is over already, or agreed to in this moment; reading it again will tell.
        log.info("withdraw.refused", mandate=mandate.mandate_id, reason=error.reason)
