"""Adopting what the bank says of a mandate: from its request to its end."""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, Protocol

import structlog

from billing.account_change import AccountChange, Outcome
from billing.bank import BankGarbledError, BankMandate, BillingRequest
from billing.enrol import EnrolDesk, NoSuchMandateError, cancel_unsent
from billing.mandate import ENDED, Enrolment, Mandate, State, merge

log = structlog.get_logger()


class ForeignMandateError(BankGarbledError):
    """The bank gave us, for one account, the mandate that another account of ours has."""


class Adopted(NamedTuple):
    """A mandate as it stands now, and whether we knew the status that the bank told of it."""

    mandate: Mandate
    understood: bool = True


class AdoptDesk(EnrolDesk, Protocol):
    """What adopting needs inside one transaction."""

    async def name_account(self, change: AccountChange, *, at: datetime) -> None:
        """Note when we heard which bank account a change is to; the first time counts."""


class AdoptStore(Protocol):
    """Where mandates are kept."""

    def begin(self) -> AbstractAsyncContextManager[AdoptDesk]:
        """Open one transaction."""

    async def mandate_by_bank_id(self, bank_mandate_id: str) -> Mandate | None:
        """Return the mandate behind the bank's name for it."""


class AdoptBank(Protocol):
    """What adopting asks of the bank; all of it may raise BankError."""

    async def get_billing_request(self, request_id: str) -> BillingRequest | None:
        """Read what became of a request."""

    async def get_mandate(self, bank_mandate_id: str) -> BankMandate | None:
        """Read a mandate."""

    async def account_number_ending(self, bank_account_id: str) -> str | None:
        """Return the last characters of an account number."""


async def adopt(*, store: AdoptStore, bank: AdoptBank, mandate: Mandate, at: datetime) -> Mandate:
    """Bring a mandate to what the bank says of it, and return it as it stands now.

    Raises:
        ForeignMandateError: the bank says that it is the mandate of another customer.
        BankError: the bank does not answer.
    """
    return (await adopt_told(store=store, bank=bank, mandate=mandate, at=at)).mandate


async def adopt_told(
    *, store: AdoptStore, bank: AdoptBank, mandate: Mandate, at: datetime
) -> Adopted:
    """Do the same, and say besides whether we understood the bank; the same errors."""
    if mandate.state in ENDED:
        return Adopted(mandate)
    bank_mandate_id = mandate.bank_mandate_id
    if bank_mandate_id is None:
        if mandate.bank_request_id is None:
            return Adopted(mandate)
        request = await bank.get_billing_request(mandate.bank_request_id)
        if request is None or request.cancelled:
            return Adopted(await _settle(store, mandate, at, state=State.CANCELLED))
        bank_mandate_id = request.bank_mandate_id
        if bank_mandate_id is None:
            return Adopted(mandate)
        await _demand_own(store, mandate, bank_mandate_id)
    theirs = await bank.get_mandate(bank_mandate_id)
    if theirs is None:
        return Adopted(mandate)
    ending = mandate.account_number_ending
    if ending is None and theirs.bank_account_id is not None:
        ending = await bank.account_number_ending(theirs.bank_account_id)
    state = merge(mandate.state, theirs.status)
    now = await _settle(
        store, mandate, at, state=state, bank_mandate_id=bank_mandate_id, ending=ending
    )
    return Adopted(now, understood=theirs.status is not None)


async def _demand_own(store: AdoptStore, mandate: Mandate, bank_mandate_id: str) -> None:
    """Refuse the mandate of another customer: under it he would pay for somebody else's gas."""
    holder = await store.mandate_by_bank_id(bank_mandate_id)
    if holder is not None and holder.account_id != mandate.account_id:
        log.error("mandate.of_another", mandate=mandate.mandate_id, holder=holder.mandate_id)
        raise ForeignMandateError("mandate_of_another")


async def _settle(  # noqa: PLR0913 - the inside of adopt
    store: AdoptStore,
    mandate: Mandate,
    at: datetime,
    *,
    state: State,
    bank_mandate_id: str | None = None,
    ending: str | None = None,
) -> Mandate:
    async with store.begin() as desk:
        now = await desk.lock_mandate(mandate.account_id, mandate.mandate_id)
        if now is None:
            raise NoSuchMandateError(mandate.mandate_id)
        after = replace(
            now,
            state=now.state if now.state in ENDED else state,
            bank_mandate_id=now.bank_mandate_id or bank_mandate_id,
            account_number_ending=now.account_number_ending or ending,
        )
        if after != now:
            after = replace(after, changed_at=at)
            await desk.save_mandate(after)
            log.info("mandate.changed", mandate=after.mandate_id, state=after.state)
        if after.state in ENDED:
            await cancel_unsent(desk, after, reason="mandate_ended", at=at)
        if after.enrolment is Enrolment.WAITING:
            change = await desk.open_change(after.account_id, after.mandate_id)
            assert change is not None, "whoever waits, waits for a change"
            if after.state in ENDED:
                await desk.end_change(change, Outcome.CANCELLED, at=at)
            elif now.bank_mandate_id is None and after.bank_mandate_id is not None:
                await desk.name_account(change, at=at)
    return after
