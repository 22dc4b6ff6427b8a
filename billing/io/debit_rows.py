"""Rows of debits and mandates, read into what the business works with."""

import asyncpg

from billing.debit import Debit, DebitId, State
from billing.mandate import Caps, Enrolment, Mandate
from billing.mandate import State as MandateState
from billing.notice import Candidate


def debit_of(row: asyncpg.Record) -> Debit:
    """Return a debit from its row."""
    return Debit(
        account_id=row["account_id"],
        bill_no=row["bill_no"],
        attempt=row["attempt"],
        mandate_id=row["mandate_id"],
        state=State(row["state"]),
        reason=row["reason"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        charge_on=row["charge_on"],
        idempotency_key=row["idempotency_key"],
        body=row["body"],
        body_digest=row["body_digest"],
        bank_payment_id=row["bank_payment_id"],
        lease_until=row["lease_until"],
        sends=row["sends"],
        first_sent_at=row["first_sent_at"],
        changed_at=row["changed_at"],
        retry_on=row["retry_on"],
        before_chargeback=_state(row["before_chargeback"]),
        before_review=_state(row["before_review"]),
    )


def _state(word: str | None) -> State | None:
    return None if word is None else State(word)


def mandate_of(row: asyncpg.Record) -> Mandate:
    """Return a mandate from its row."""
    return Mandate(
        account_id=row["account_id"],
        mandate_id=row["mandate_id"],
        state=MandateState(row["state"]),
        enrolment=Enrolment(row["enrolment"]),
        caps=Caps(
            payment_minor_max=row["payment_minor_max"], month_minor_max=row["month_minor_max"]
        ),
        currency=row["currency"],
        bank_request_id=row["bank_request_id"],
        bank_flow_id=row["bank_flow_id"],
        authorisation_url=row["authorisation_url"],
        return_digest=row["return_digest"],
        bank_mandate_id=row["bank_mandate_id"],
        account_number_ending=row["account_number_ending"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
    )


def _debit_id(row: asyncpg.Record) -> DebitId:
    return DebitId(account_id=row["account_id"], bill_no=row["bill_no"], attempt=row["attempt"])


def candidate_of(row: asyncpg.Record) -> Candidate:
    """Return a debit to be moved from its row."""
    return Candidate(debit_id=_debit_id(row), mandate_id=row["mandate_id"])


def name_of(debit_id: DebitId) -> dict[str, object]:
    """Return what names a debit in a query."""
    return {
        "account_id": debit_id.account_id,
        "bill_no": debit_id.bill_no,
        "attempt": debit_id.attempt,
    }
