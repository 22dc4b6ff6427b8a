"""Collecting a payment: each step of its life, and what follows from it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Final

from simulators.bank import limits, mandate_life, notifications, settlement
from simulators.bank.clock import midnight
from simulators.bank.payment_life import (
    COURSE,
    COURSE_USUAL,
    ENDS_MANDATE,
    NEXT,
    NOT_RETRIED,
    REASON,
    RESENT,
    RETRIED,
    SECOND_TIME_LUCKY,
    TOLD,
    Course,
)
from simulators.bank.store import Document
from simulators.bank.world import NOTHING, Advance, Bank, Details, Note

KIND: Final = "payments"
RETRIES_MAX: Final = 3
# The bank asks for its own second try on the next working day, and charges two days after that.
RESUBMIT_WORKING_DAYS: Final = 1
RESUBMIT_CHARGE_WORKING_DAYS: Final = 3
# What the contract says of a failure that its own retries are not for.
FILTERED: Final = "failure_filter_applied"


def tell(bank: Bank, payment: Document, step: str, note: Note = NOTHING) -> Document:
    """Write down the event of a step."""
    action, usual = TOLD[step]
    event = bank.tell(KIND, payment, action, usual, note)
    return notifications.offer(bank, event, payment)


def present_on(bank: Bank, payment: Document, day: date) -> None:
    """Plan the presentation of a payment."""
    payment["charge_date"] = day.isoformat()
    bank.plan(KIND, payment, "submit", midnight(day))


def present_again(bank: Bank, payment: Document, day: date) -> None:
    """Plan one more presentation of a payment that failed."""
    payment["hidden"]["retries"] += 1
    present_on(bank, payment, day)


def mandate_of(bank: Bank, payment: Document) -> Document:
    """Return the mandate under which a payment is made."""
    return bank.find("mandates", payment["links"]["mandate"])


def may_present(bank: Bank, payment: Document) -> bool:
    """Say whether the payer's permission still stands."""
    return mandate_of(bank, payment)["status"] in mandate_life.LIVE


def advance(bank: Bank, payment: Document, step: str, note: Note = NOTHING) -> None:
    """Take one step of a payment's life now, and plan what follows from it by itself."""
    if step == "submit" and not may_present(bank, payment):
        step = "reject"
    if step == "resubmit" and not _may_present_again(bank, payment, _resubmit_day(bank)):
        return
    way = f"restore_{payment['hidden']['before']}" if step == "cancel_chargeback" else step
    assert (payment["status"], way) in NEXT, f"{payment['status']} does not {way}"
    before = payment["status"]
    payment["status"] = NEXT[before, way]
    details = note.details or _reason(bank, payment, step)
    if step in {"fail", "reject"}:
        details = _failure(bank, payment, details)
    elif step == "resubmit":
        present_again(bank, payment, _resubmit_day(bank))
        details = replace(details, origin="gocardless")
    else:
        _move_money(bank, payment, step, before)
    bank.store.put(payment)
    _plan_next(bank, payment, step)
    event = tell(bank, payment, step, replace(note, details=details))
    if details.cause in ENDS_MANDATE:
        _end_mandate(bank, payment, ENDS_MANDATE[details.cause], event)


def _move_money(bank: Bank, payment: Document, step: str, before: str) -> None:
    """Write down what a step means for the creditor's balance."""
    if step == "confirm":
        settlement.credit(bank, payment)
    elif step == "fail_late":
        payment["hidden"]["late"] = True
        settlement.take_back(bank, payment, "payment_failed")
    elif step == "charge_back":
        payment["hidden"]["before"] = before
        settlement.take_back(bank, payment, "payment_charged_back")
    elif step == "cancel_chargeback":
        settlement.give_back(bank, payment)


def _given_name(bank: Bank, payment: Document) -> str:
    customer = bank.store.get("customers", payment["hidden"]["customer"]) or {}
    return customer.get("given_name") or ""


def _plan_next(bank: Bank, payment: Document, step: str) -> None:
    name = _given_name(bank, payment)
    course: Course = COURSE.get(name, COURSE_USUAL)
    if name in SECOND_TIME_LUCKY and payment["hidden"]["retries"] > 0:
        course = COURSE_USUAL
    if step in course:
        following, days = course[step]
        due = midnight(bank.days_on(days)) if days else bank.at
        bank.plan(KIND, payment, following, due)


def _reason(bank: Bank, payment: Document, step: str) -> Details:
    return REASON.get((_given_name(bank, payment), step), TOLD[step][1])


def _failure(bank: Bank, payment: Document, reason: Details) -> Details:
    """Return why a payment failed and whether the bank tries again by itself; it plans that."""
    heals = reason.cause in RETRIED
    wanted = reason.cause in RESENT or (heals and payment["retry_if_possible"])
    again = wanted and _may_present_again(bank, payment, bank.days_on(RESUBMIT_CHARGE_WORKING_DAYS))
    if again:
        bank.plan(KIND, payment, "resubmit", midnight(bank.days_on(RESUBMIT_WORKING_DAYS)))
    filtered = payment["retry_if_possible"] and not heals
    if again:
        return replace(reason, will_attempt_retry=True)
    return replace(
        reason,
        will_attempt_retry=False,
        not_retried_reason=FILTERED if filtered else NOT_RETRIED,
    )


def _resubmit_day(bank: Bank) -> date:
    """Return the charge date of a payment that the bank presents again today."""
    return bank.days_on(RESUBMIT_CHARGE_WORKING_DAYS - RESUBMIT_WORKING_DAYS)


def _may_present_again(bank: Bank, payment: Document, day: date) -> bool:
    """Say whether permission, caps and the number of tries allow one more presentation."""
    if payment["hidden"]["retries"] >= RETRIES_MAX or not may_present(bank, payment):
        return False
    found = limits.objections(
        bank,
        mandate_of(bank, payment),
        amount=payment["amount"],
        charge_date=day.isoformat(),
    )
    return not any(found)


def _end_mandate(bank: Bank, payment: Document, step: str, event: Document) -> None:
    mandate = mandate_of(bank, payment)
    if (mandate["status"], step) in mandate_life.NEXT:
        bank.take("mandates", mandate, step, Note(links={"parent_event": event["id"]}))


def drop(bank: Bank, payment: Document, note: Note) -> None:
    """Cancel a payment that has not been presented."""
    payment["status"] = NEXT[payment["status"], "cancel"]
    bank.store.put(payment)
    bank.store.strike_all(payment["id"])
    tell(bank, payment, "cancel", note)


def _stepper(step: str) -> Advance:
    return lambda bank, payment, note: advance(bank, payment, step, note)


STEPS: Final[Mapping[tuple[str, str], Advance]] = MappingProxyType(
    {
        (KIND, step): _stepper(step)
        for step in (
            "submit",
            "confirm",
            "pay_out",
            "fail",
            "fail_late",
            "settle_late",
            "charge_back",
            "settle_chargeback",
            "cancel_chargeback",
            "resubmit",
        )
    }
)
