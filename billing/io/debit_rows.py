"""Rows of debits and mandates, read into what the business works with."""

from collections.abc import Sequence

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


def debit_id_of(row: asyncpg.Record) -> DebitId:
    """Return the name of a debit from its row."""
    return DebitId(account_id=row["account_id"], bill_no=row["bill_no"], attempt=row["attempt"])


def candidate_of(row: asyncpg.Record) -> Candidate:
    """Return a debit to be moved from its row."""
    return Candidate(debit_id=debit_id_of(row), mandate_id=row["mandate_id"])


def name_of(debit_id: DebitId) -> dict[str, object]:
    """Return what names a debit in a query."""
    return {
        "account_id": debit_id.account_id,
        "bill_no": debit_id.bill_no,
        "attempt": debit_id.attempt,
    }


def names_of(debits: Sequence[Debit | DebitId]) -> dict[str, list[object]]:
    """Return what names debits in a query that takes many."""
    return {
        "account_ids": [one.account_id for one in debits],
        "bill_nos": [one.bill_no for one in debits],
        "attempts": [one.attempt for one in debits],
    }


def step_columns(steps: Sequence[tuple[Debit, Debit]]) -> dict[str, list[object]]:
    """Return the columns of debits that take a step, from before to after."""
    after = [one for _, one in steps]
    return {
        **names_of(after),
        "from_states": [before.state for before, _ in steps],
        "states": [one.state for one in after],
        "reasons": [one.reason for one in after],
        "charge_ons": [one.charge_on for one in after],
        "idempotency_keys": [one.idempotency_key for one in after],
        "bodies": [one.body for one in after],
        "body_digests": [one.body_digest for one in after],
        "bank_payment_ids": [one.bank_payment_id for one in after],
        "leases_until": [one.lease_until for one in after],
        "sends": [one.sends for one in after],
        "first_sent_ats": [one.first_sent_at for one in after],
        "retry_ons": [one.retry_on for one in after],
        "before_chargebacks": [one.before_chargeback for one in after],
        "before_reviews": [one.before_review for one in after],
        "ats": [one.changed_at for one in after],
    }
