"""What kinds of disagreement with the bank there are, whose work each is, and what to do first."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Kind(StrEnum):
    """What kinds of disagreement there are."""

    PAYMENT_UNKNOWN = "payment_unknown"
    PAYMENT_MISSING = "payment_missing"
    PAYMENT_AMOUNT = "payment_amount"
    PAYMENT_CURRENCY = "payment_currency"
    PAYMENT_MANDATE = "payment_mandate"
    PAYMENT_DOUBLED = "payment_doubled"
    PAYMENT_DATE = "payment_date"
    PAYMENT_STATE = "payment_state"
    PAYOUT_SUM = "payout_sum"
    PAYOUT_FEES = "payout_fees"
    PAYOUT_BOUNCED = "payout_bounced"
    PAYOUT_NOT_ARRIVED = "payout_not_arrived"
    PAYOUT_AMOUNT = "payout_amount"
    PAYOUT_CURRENCY = "payout_currency"
    ITEM_UNKNOWN = "item_unknown"
    ITEM_MISSING = "item_missing"
    ITEM_DOUBLED = "item_doubled"
    ITEM_OVERKEPT = "item_overkept"
    ITEM_AMOUNT = "item_amount"
    LINE_DOUBLED = "line_doubled"
    LINE_ORPHAN = "line_orphan"
    STATEMENT_TORN = "statement_torn"


class Owner(StrEnum):
    """Whose work a break is."""

    ON_CALL = "on_call"  # now, at any hour
    ACCOUNTS = "accounts"  # the next working morning


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Who looks at a kind of break, and what he should do first."""

    owner: Owner
    action: str


ADVICE: Final[Mapping[Kind, Advice]] = MappingProxyType(
    {
        Kind.PAYMENT_UNKNOWN: Advice(
            owner=Owner.ON_CALL,
            action="The mandate is frozen. Find out who ordered the payment; if nobody did, cancel"
            " or refund it at the bank, then lift the freeze.",
        ),
        Kind.PAYMENT_MISSING: Advice(
            owner=Owner.ON_CALL,
            action="Ask the bank what became of the payment; do not debit the bill again.",
        ),
        Kind.PAYMENT_AMOUNT: Advice(
            owner=Owner.ON_CALL,
            action="Refund what was taken too much today, and ask the bank how it came about.",
        ),
        Kind.PAYMENT_CURRENCY: Advice(
            owner=Owner.ON_CALL, action="Cancel or refund the payment; ask the bank."
        ),
        Kind.PAYMENT_MANDATE: Advice(
            owner=Owner.ON_CALL,
            action="Another mandate than the ordered one was debited. Cancel or refund the payment"
            " today, and ask the bank how it came about.",
        ),
        Kind.PAYMENT_DOUBLED: Advice(
            owner=Owner.ON_CALL,
            action="Cancel the second payment at the bank, or refund it today.",
        ),
        Kind.PAYMENT_DATE: Advice(
            owner=Owner.ACCOUNTS,
            action="Tell the resident the new day; ask the bank why it moved.",
        ),
        Kind.PAYMENT_STATE: Advice(
            owner=Owner.ACCOUNTS,
            action="Read the payment again; if both stay as they are, decide in the review.",
        ),
        Kind.PAYOUT_SUM: Advice(
            owner=Owner.ACCOUNTS,
            action="Ask the bank for the items of the payout anew; one is missing or wrong.",
        ),
        Kind.PAYOUT_FEES: Advice(
            owner=Owner.ACCOUNTS, action="Compare the fees with the bank's price list and ask."
        ),
        Kind.PAYOUT_BOUNCED: Advice(
            owner=Owner.ON_CALL,
            action="Check the town's own account at the bank; the money has not arrived.",
        ),
        Kind.PAYOUT_NOT_ARRIVED: Advice(
            owner=Owner.ACCOUNTS,
            action="Look for the payout on the account; if it is not there, ask both banks.",
        ),
        Kind.PAYOUT_AMOUNT: Advice(
            owner=Owner.ACCOUNTS, action="Ask both banks where the difference is."
        ),
        Kind.PAYOUT_CURRENCY: Advice(
            owner=Owner.ACCOUNTS, action="Ask the bank why the payout came in another currency."
        ),
        Kind.ITEM_UNKNOWN: Advice(
            owner=Owner.ON_CALL,
            action="The payout holds a payment that is not ours; ask the bank whose it is.",
        ),
        Kind.ITEM_MISSING: Advice(
            owner=Owner.ACCOUNTS,
            action="The bank says paid out and shows no payout that holds it; ask for the item.",
        ),
        Kind.ITEM_DOUBLED: Advice(
            owner=Owner.ACCOUNTS,
            action="The bank paid the same payment out twice; it will take one back.",
        ),
        Kind.ITEM_OVERKEPT: Advice(
            owner=Owner.ACCOUNTS,
            action="The bank has kept more than it had paid out for the payment; claim it back.",
        ),
        Kind.ITEM_AMOUNT: Advice(
            owner=Owner.ACCOUNTS,
            action="The item is not what was debited; ask the bank for the difference.",
        ),
        Kind.LINE_DOUBLED: Advice(
            owner=Owner.ACCOUNTS,
            action="The payout is on the account twice; the bank will take one back.",
        ),
        Kind.LINE_ORPHAN: Advice(
            owner=Owner.ACCOUNTS,
            action="It stands in suspense. Find out whose money it is; close this with the answer.",
        ),
        Kind.STATEMENT_TORN: Advice(
            owner=Owner.ACCOUNTS,
            action="A statement between the two is missing; fetch it from the bank and import it.",
        ),
    }
)
